"""Evens out the channels of activations by powers of two in the weights on both sides of them.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
1906.04721): f(W x) = s f(W / s x) for an f like Relu, with one s for each channel. There s evens
out the ranges of both weights; here, those of the activations between them and of the weight that
reads these. By powers of two no answer of the float model changes.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.calibration.channels import MapChannels, Vector
from worker.engine.calibration.histogram import RunningRange
from worker.engine.quantization.graph_view import GraphView, attribute, names_read
from worker.engine.quantization.weighted_nodes import WeightedNode, output_channels, weighted_node

SCALED_OP_TYPES = {"Conv", "ConvTranspose", "Gemm"}
PASSING_OP_TYPES = {
    "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "LeakyRelu", "MaxPool",
    "PRelu", "Relu",
}  # fmt: skip
"""f(s x) = s f(x) for each channel of the first input and any s above 0."""
STRENGTHS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
"""s = max|x|^strength / max|w|^(1 - strength) for each channel."""
WORTHWHILE = 0.7
"""Share of a region's predicted error that may be left, else it is left alone."""
ACTIVATION_STEPS = 255
SMALLEST = 1e-3
"""A channel counts as no smaller than this share of the largest."""


@dataclass(frozen=True)
class Region:
    """Activations whose channels can be scaled together: who computes and who multiplies them."""

    producers: list[WeightedNode]
    consumers: list[WeightedNode]


def regions(view: GraphView) -> list[Region]:
    """Return the groups of activations that nothing else computes or reads."""
    groups = _Groups()
    fixed = view.inputs | view.outputs | set(view.initializers)
    weighted: list[WeightedNode] = []
    for node in view.graph.node:
        op_type = node.op_type if not node.domain else ""
        scalable = _scalable(node, view) if op_type in SCALED_OP_TYPES else None
        if scalable is not None:
            weighted.append(scalable)
        elif op_type in PASSING_OP_TYPES or (op_type == "Resize" and _scales_evenly(node)):
            groups.join([node.input[0], node.output[0]])
            fixed |= set(node.input[1:])
        elif op_type == "Add":
            groups.join([*node.input, node.output[0]])
        elif op_type != "Shape":
            fixed |= {*names_read(node), *node.output}
    stops = {groups.root(name) for name in fixed}
    producers, consumers = defaultdict(list), defaultdict(list)
    for each in weighted:
        producers[groups.root(each.node.output[0])].append(each)
        consumers[groups.root(each.activation)].append(each)
    found = [Region(producers[r], consumers[r]) for r in producers if r in consumers.keys() - stops]
    return [region for region in found if _is_uniform(region, view)]


def equalize(
    model: onnx.ModelProto,
    found: Iterable[Region],
    seen: Mapping[str, RunningRange],
    weight_steps: int,
) -> int:
    """Rewrite weights in place where that should lose less in integers; return in how many regions.

    A region whose weights float32 would not hold exactly is left as it is.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    count = 0
    for region in found:
        read = [
            (_by_channel(each, _values(tensors[each.weight])), spread)
            for each in region.consumers
            if isinstance(spread := seen.get(each.activation), MapChannels)
        ]
        factors = _best_factors(read, weight_steps) if read else None
        if factors is not None and _rescale(region, factors, tensors):
            count += 1
    return count


class _Groups:
    """Names in groups, each with one of them for its root."""

    def __init__(self) -> None:
        self.parents: dict[str, str] = {}

    def root(self, name: str) -> str:
        while name in self.parents:
            name = self.parents[name]
        return name

    def join(self, names: Sequence[str]) -> None:
        first = self.root(names[0])
        for root in map(self.root, names[1:]):
            if root != first:
                self.parents[root] = first


def _scalable(node: onnx.NodeProto, view: GraphView) -> WeightedNode | None:
    """Return a node whose channels can be scaled by a weight and a bias of its own."""
    found = weighted_node(node, view)
    if not isinstance(found, WeightedNode) or found.channel_axis is None:
        return None
    own = [name for name in (found.weight, found.bias) if name]
    is_own = all(view.only_reader(name) is node for name in own) and len(set(own)) == len(own)
    bias = None if found.bias is None else view.initializers[found.bias]
    is_full = bias is None or int(np.prod(bias.dims)) == output_channels(found, view)
    return found if is_own and is_full and not attribute(node, "transA", 0) else None


def _scales_evenly(node: onnx.NodeProto) -> bool:
    """Whether a Resize puts no value of its own beside those that it resizes."""
    modes = {each.name: each.s for each in node.attribute}
    return modes.get("coordinate_transformation_mode") != b"tf_crop_and_resize"


def _is_uniform(region: Region, view: GraphView) -> bool:
    """Whether all of a region's nodes agree on its channels and their axis."""
    dims = {name: tensor.dims for name, tensor in view.initializers.items()}
    given = {(output_channels(each, view), len(dims[each.weight])) for each in region.producers}
    read = {(_input_channels(each, dims), len(dims[each.weight])) for each in region.consumers}
    return len(given | read) == 1


def _input_channels(weighted: WeightedNode, dims: Mapping[str, Sequence[int]]) -> int:
    across = dims[weighted.weight][1 - (weighted.channel_axis or 0)]
    return int(across * attribute(weighted.node, "group", 1))


def _by_channel(weighted: WeightedNode, weight: Vector) -> Vector:
    """Return a view of a weight as (groups, outputs of a group, inputs of a group, others)."""
    if weighted.node.op_type == "Conv":
        groups = int(attribute(weighted.node, "group", 1))
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    flat = weight.reshape(1, weight.shape[0], weight.shape[1], -1)
    return flat if weighted.channel_axis == 0 else flat.swapaxes(1, 2)


def _best_factors(read: Sequence[tuple[Vector, MapChannels]], weight_steps: int) -> Vector | None:
    """Return s at the strength with the least predicted error; None where it gains too little."""
    largest = _relative([spread.largest for _, spread in read])
    largest_weight = _relative([np.abs(w).max(axis=(1, 3)).reshape(-1) for w, _ in read])
    best, least = None, np.inf
    limit = WORTHWHILE * _error(read, np.ones(len(largest)), weight_steps)
    for strength in STRENGTHS:
        exponents = strength * np.log2(largest) - (1 - strength) * np.log2(largest_weight)
        factors = np.exp2(np.round(exponents - exponents.mean()))
        error = _error(read, factors, weight_steps)
        if error < min(least, limit):
            best, least = factors, error
    return best


def _relative(magnitudes: Sequence[Vector]) -> Vector:
    """Return each channel's share of the largest, the largest share of all."""
    shares = [each / each.max() if each.any() else each for each in magnitudes]
    return np.asarray(np.maximum(np.max(shares, axis=0), SMALLEST))


def _error(read: Sequence[tuple[Vector, MapChannels]], factors: Vector, weight_steps: int) -> float:
    """Return the expected squared error over the outputs' squares: a step of d errs by d² / 12."""
    total = 0.0
    for weight, spread in read:
        scales = factors.reshape(weight.shape[0], 1, -1, 1)
        mean_squares = spread.mean_squares.reshape(scales.shape)
        scaled = weight * scales
        step = _sides(spread) * (spread.largest / factors).max() / ACTIVATION_STEPS
        of_activations = step**2 * np.square(scaled).sum()
        steps = 2 * np.abs(scaled).max(axis=(2, 3), keepdims=True) / weight_steps
        rounded = np.square(steps) * mean_squares / np.square(scales)
        signal = (np.square(weight) * mean_squares).sum()
        if signal > 0:
            total += float((of_activations + rounded.sum() * weight.shape[3]) / signal)
    return total


def _sides(spread: MapChannels) -> float:
    """Return the range's width over its largest magnitude: 1 of one sign only, 2 around 0."""
    width = max(spread.highest, 0.0) - min(spread.lowest, 0.0)
    return width / max(spread.highest, -spread.lowest) if width else 1.0


def _rescale(region: Region, factors: Vector, tensors: Mapping[str, onnx.TensorProto]) -> bool:
    """Scale a region's weights and biases; return False where float32 cannot hold that exactly."""
    nodes = [*region.producers, *region.consumers]
    scaled = {each.weight: _values(tensors[each.weight]) for each in nodes}
    for each in region.consumers:
        weight = _by_channel(each, scaled[each.weight])
        weight *= factors.reshape(weight.shape[0], 1, -1, 1)
    for each in region.producers:
        weight = _by_channel(each, scaled[each.weight])
        weight /= factors.reshape(weight.shape[0], -1, 1, 1)
        if each.bias is not None:
            bias = _values(tensors[each.bias])
            scaled[each.bias] = bias / factors.reshape(bias.shape)
    with np.errstate(over="ignore"):
        stored = {name: values.astype(np.float32) for name, values in scaled.items()}
    if not all(np.array_equal(stored[name], scaled[name]) for name in scaled):
        return False
    for name, values in stored.items():
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    return True


def _values(tensor: onnx.TensorProto) -> Vector:
    return np.array(numpy_helper.to_array(tensor), np.float64)
