"""Models with a part of each large weight, and the sizes of what passes make of them.

A pass stores a weight's values one like another, and its scales by channel. So a weight that keeps
all its channels, but few of the values of each, is stored with the same scales and names, and the
size of the whole follows from the size of the part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.deflating import deflated_size
from worker.engine.graphs import walk_graphs
from worker.engine.model_files import PACKED_BITS, serialize, tensor_bytes
from worker.engine.tidying import tidy
from worker.engine.weights.finding import STORABLE_TYPES, Weight, find_weights
from worker.engine.weights.sampled_rounding import MOST_VALUES, spread

DEFLATED_BYTES = 2**20
LEAST_DEFLATED = 2**12
"""Of one weight."""


@dataclass(frozen=True)
class Thinned:
    """A weight of which a part was kept."""

    name: str
    kept_values: int
    left_out: int


def thin(model: onnx.ModelProto) -> list[Thinned]:
    """Cut down the large weights of a model in place, along an axis that is not its channels'."""
    done = []
    for weight in find_weights(model, MOST_VALUES + 1, STORABLE_TYPES):
        axis = _longest_axis(weight)
        if axis is None:
            continue
        size, array = weight.size, numpy_helper.to_array(weight.tensor)
        others = tuple(i for i in range(array.ndim) if i != axis)
        # Whether float16 can hold a weight is told by its largest value.
        peaks = np.maximum(array.max(axis=others), -array.min(axis=others))
        part = spread(array, axis, int(np.argmax(np.nan_to_num(peaks, nan=-1))))
        weight.tensor.CopyFrom(numpy_helper.from_array(part, weight.name))
        done.append(Thinned(weight.name, part.size, size - part.size))
    return done


def size_of_result(result: onnx.ModelProto, missing_bytes: int) -> int:
    """Return the file size that a pass's result would have, had all weights been whole.

    Tidies the result in place, as a job does.
    """
    tidy(result, keep_names=False, left_out_bytes=missing_bytes)
    return int(result.ByteSize()) + missing_bytes


def deflated_size_of_result(result: onnx.ModelProto, thinned: Sequence[Thinned]) -> int:
    """Return the deflated size that a result would have, had all weights been whole.

    Tidies the result in place, as a job does. What is not weights is deflated whole, and each
    weight in a sample, whose ratio holds for all its bytes: one is pruned, another is not.
    """
    missing = _missing_bytes(result, thinned)
    tidied = tidy(result, keep_names=False, left_out_bytes=round(sum(missing.values())))
    missing = {tidied.name(name) or "": size for name, size in missing.items()}
    data = _take_large(result)
    share = min(1.0, DEFLATED_BYTES / max(1, sum(len(each) for _, each in data)))
    size = 0.0
    for name, each in data:
        sample = _middle(each, max(LEAST_DEFLATED, int(share * len(each))))
        size += deflated_size([sample]) / len(sample) * (len(each) + missing.get(name, 0))
    return deflated_size([serialize(result)]) + round(size)


def _take_large(model: onnx.ModelProto) -> list[tuple[str, bytes]]:
    """Take the data out of a model's larger initializers and return it, with their names."""
    taken = []
    for graph in walk_graphs(model):
        for tensor in graph.initializer:
            if tensor.HasField("raw_data") and tensor_bytes(tensor) >= LEAST_DEFLATED:
                taken.append((tensor.name, tensor.raw_data))
                tensor.ClearField("raw_data")
    return taken


def _middle(data: bytes, length: int) -> bytes:
    start = max(0, (len(data) - length) // 2)
    return data[start : start + length]


def left_out_bytes(result: onnx.ModelProto, thinned: Sequence[Thinned]) -> int:
    """Return what the values that were left out would take in the types that the pass gave them."""
    return round(sum(_missing_bytes(result, thinned).values()))


def _missing_bytes(result: onnx.ModelProto, thinned: Sequence[Thinned]) -> dict[str, float]:
    """Return the same for each tensor of the result that lacks values."""
    holders = _holders(result)
    missing = {}
    for each in thinned:
        found = [holders[n] for n in _stored_names(each.name) if n in holders]
        same = [tensor for tensor in found if prod(tensor.dims) == each.kept_values]
        if same:
            missing[same[0].name] = each.left_out * _bits(same[0]) / 8
    return missing


def _stored_names(name: str) -> tuple[str, ...]:
    """Return what the passes call the tensor of a weight."""
    return f"{name}.quantized", f"{name}_quantized", f"{name}.half", name


def _holders(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {t.name: t for graph in walk_graphs(model) for t in graph.initializer}


def _bits(tensor: onnx.TensorProto) -> float:
    packed = PACKED_BITS.get(tensor.data_type)
    return packed or 8 * tensor_bytes(tensor) / prod(tensor.dims)


def _longest_axis(weight: Weight) -> int | None:
    """Return the longest axis that is not the channels'; None where the weight has no other."""
    dims = weight.tensor.dims
    axes = set(range(len(dims))) - set(weight.channel_axes or ())
    longest = max(axes, key=lambda axis: dims[axis], default=None)
    return longest if longest is not None and len(dims) > 1 and dims[longest] > 1 else None
