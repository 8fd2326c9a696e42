"""What the weights of a segment are like, and what became of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from worker.engine.blame.pairing import Pairing, Segment
from worker.engine.decibels import signal_to_noise_db
from worker.engine.layers import StoredWeights
from worker.engine.quantization.graph_view import names_read
from worker.engine.samples import Array
from worker.engine.weights.finding import Use, Weight

Floats = npt.NDArray[np.float64]
COMMON_SHARE = 99.9


@dataclass(frozen=True)
class WeightFacts:
    """A weight before and after, and the scales of its integers where it has some."""

    name: str
    before: Floats
    after: Floats
    scale: Floats | None
    integers: Array | None
    zero_point: int | None
    channel_axis: int | None

    @property
    def sqnr_db(self) -> float | None:
        """SQNR of the stored against the original; None where they are equal."""
        noise = float(np.sum((self.before - self.after) ** 2))
        return signal_to_noise_db(float(np.sum(self.before**2)), noise)

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.before).max(initial=0.0))

    @property
    def common_peak(self) -> float:
        """The 99.9th percentile of the magnitudes."""
        return float(np.percentile(np.abs(self.before), COMMON_SHARE))

    @property
    def output_peaks(self) -> Floats | None:
        """The largest magnitude of each output channel; None where there are none to tell apart."""
        return None if self.channel_axis is None else self._peaks(self.channel_axis)

    @property
    def input_peaks(self) -> Floats | None:
        """The same of each input channel."""
        if self.channel_axis not in {0, 1} or self.before.ndim < 2:
            return None
        return self._peaks(1 - self.channel_axis)

    def _peaks(self, axis: int) -> Floats:
        others = tuple(i for i in range(self.before.ndim) if i != axis)
        return np.asarray(np.abs(self.before).max(axis=others), np.float64)

    @property
    def zeroed_share(self) -> float:
        """Share of the values that became zero, where nothing else changed; else 0."""
        gone = (self.after == 0) & (self.before != 0)
        is_pruned = bool(np.array_equal(self.after[~gone], self.before[~gone]))
        return float(gone.mean()) if is_pruned else 0.0

    @property
    def zeroed_energy_share(self) -> float:
        """Share of the squares that the values which became zero had."""
        gone = (self.after == 0) & (self.before != 0)
        return float(np.sum(self.before[gone] ** 2) / max(np.sum(self.before**2), 1e-300))


def weight_facts(pairing: Pairing, segment: Segment, stored: StoredWeights) -> WeightFacts | None:
    """Return the facts of a segment's largest weight that changed; None where there is none."""
    found: list[WeightFacts] = []
    graph = pairing.pair.original.graph
    for node in segment.before:
        for index, name in enumerate(node.input):
            tensor = pairing.before.initializers.get(name)
            if tensor is None or tensor.data_type not in {1, 11}:
                continue
            weight = Weight(graph, tensor, [Use(node, index, graph)])
            before, now = numpy_helper.to_array(tensor).astype(np.float64), stored.read(weight)
            if now is None or now.shape != before.shape or np.array_equal(before, now):
                continue
            after = now.astype(np.float64)
            axes = weight.channel_axes
            axis = axes[0] if axes is not None and len(axes) == 1 else None
            found.append(WeightFacts(name, before, after, *_grid(pairing, segment, name), axis))
    return max(found, key=lambda facts: facts.before.size, default=None)


def _grid(
    pairing: Pairing, segment: Segment, weight: str
) -> tuple[Floats | None, Array | None, int | None]:
    """Return the scales, the integers and the zero point that a weight is decoded from."""
    wanted = {pairing.pair.tidied.name(weight)} | {n for s in segment.after for n in names_read(s)}
    for node in pairing.after.constant_nodes:
        if wanted.isdisjoint(node.output):
            continue
        chain = pairing.after.between(node.output, ())
        for each in reversed(chain):
            grid = _of_node(pairing, each)
            if grid is not None and grid[1].size == _size(pairing, weight):
                return grid[0], grid[1], grid[2]
    return _scale_of_products(pairing, segment), None, None


def _scale_of_products(pairing: Pairing, segment: Segment) -> Floats | None:
    """Return the constant that products of integers are scaled by; None where there are none."""
    if not any(node.op_type in {"ConvInteger", "MatMulInteger"} for node in segment.after):
        return None
    factors = (n for node in segment.after if node.op_type == "Mul" for n in node.input)
    tensors = (pairing.after.initializers.get(name) for name in factors)
    found = (numpy_helper.to_array(tensor) for tensor in tensors if tensor is not None)
    return next((np.asarray(each, np.float64) for each in found if each.dtype.kind == "f"), None)


def _of_node(pairing: Pairing, node: onnx.NodeProto) -> tuple[Floats, Array, int | None] | None:
    """Return what a DequantizeLinear, or a Mul of a Cast, decodes."""
    if node.op_type not in {"DequantizeLinear", "Mul"}:
        return None
    arrays = [_uncast(pairing, name) for name in node.input]
    if len(arrays) < 2 or arrays[0] is None or arrays[1] is None:
        return None
    integers, scale = arrays[0], arrays[1].astype(np.float64)
    if integers.dtype.kind == "f":
        return None
    zeros = arrays[2] if len(arrays) > 2 else np.zeros(1, np.int64)
    zero_point = int(zeros.reshape(-1)[0]) if zeros is not None and scale.size == 1 else None
    return scale, integers, zero_point


def _uncast(pairing: Pairing, name: str) -> Array | None:
    """Return a constant's values, those before a Cast."""
    node = pairing.after.producers.get(name)
    if node is not None and node.op_type == "Cast":
        name = node.input[0]
    tensor = pairing.after.initializers.get(name)
    return None if tensor is None else numpy_helper.to_array(tensor)


def _size(pairing: Pairing, weight: str) -> int:
    return int(np.prod(pairing.before.initializers[weight].dims))
