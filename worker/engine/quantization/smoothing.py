"""Moving large values of an activation's channels into the weights that they are multiplied with.

Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models" (arXiv 2211.10438): x W = (x / s) (s W), with one s for each channel.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.calibration.channels import RowChannels, Vector
from worker.engine.calibration.histogram import RunningRange
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.weighted_nodes import WeightedNode

STRENGTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""s = max|x|^strength / max|w|^(1 - strength) for each channel."""
WORTHWHILE = 0.7
"""Share of the error that may be left, else the additional node is not worth its time."""
ACTIVATION_STEPS = 255
SMALLEST = 1e-5


def smoothable(placement: Placement, view: GraphView) -> dict[str, list[WeightedNode]]:
    """Return the activations that float nodes give and only MatMuls multiply, with those."""
    readers: dict[str, list[WeightedNode]] = defaultdict(list)
    computed = {weighted.node.output[0] for weighted in placement.weighted}
    for weighted in placement.weighted:
        readers[weighted.activation].append(weighted)
    return {
        name: group
        for name, group in readers.items()
        if name not in placement.shared
        and name not in computed | view.inputs
        and all(each.node.op_type == "MatMul" for each in group)
        and all(view.only_reader(each.weight) is each.node for each in group)
    }


def smooth(
    model: onnx.ModelProto,
    readers: Mapping[str, Sequence[WeightedNode]],
    ranges: Mapping[str, RunningRange],
    weight_steps: int,
    tick: Callable[[], None] = lambda: None,
) -> list[str]:
    """Rewrite the model in place where integers lose less that way; return those activations.

    A Mul by 1 / s is put before the MatMuls; other readers keep the activation as it is. `tick` is
    called before each activation's turn, and may end the work.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = {node.name: node for node in model.graph.node}
    names = NameGiver(taken_names(model))
    added: dict[str, onnx.NodeProto] = {}
    for activation, group in readers.items():
        tick()
        seen = ranges.get(activation)
        weights = [_values(tensors[each.weight]) for each in group]
        if not isinstance(seen, RowChannels) or {len(seen.lows)} != {len(w) for w in weights}:
            continue
        factors = _best_factors(seen, np.concatenate(weights, axis=1), weight_steps)
        if factors is None:
            continue
        smoothed, inverse = names.name(f"{activation}/smooth"), names.name(f"{activation}/smoother")
        model.graph.initializer.append(
            numpy_helper.from_array((1 / factors).astype(np.float32), inverse)
        )
        for each, weight in zip(group, weights, strict=True):
            scaled = (weight * factors[:, None]).astype(np.float32)
            tensors[each.weight].CopyFrom(numpy_helper.from_array(scaled, each.weight))
            nodes[each.node.name].input[0] = smoothed
        added[activation] = helper.make_node(
            "Mul", [activation, inverse], [smoothed], name=smoothed
        )
    _insert(model.graph, added)
    return list(added)


def _best_factors(seen: RowChannels, weight: Vector, weight_steps: int) -> Vector | None:
    """Return s at the strength with the least predicted error; None where it gains too little."""
    best, least = None, np.inf
    limit = WORTHWHILE * _error(seen, weight, np.ones(len(weight)), weight_steps)
    largest = np.maximum(seen.largest, SMALLEST)
    largest_weight = np.maximum(np.abs(weight).max(1), SMALLEST)
    for strength in STRENGTHS:
        factors = largest**strength / largest_weight ** (1 - strength)
        factors /= np.exp(np.log(factors).mean())
        error = _error(seen, weight, factors, weight_steps)
        if error < min(least, limit):
            best, least = factors, error
    return best


def _error(seen: RowChannels, weight: Vector, factors: Vector, weight_steps: int) -> float:
    """Return the expected squared error of x W: a rounding of step d errs by d² / 12."""
    scaled = weight * factors[:, None]
    span = max((seen.highs / factors).max(), 0.0) - min((seen.lows / factors).min(), 0.0)
    of_activations = (span / ACTIVATION_STEPS) ** 2 * np.square(scaled).sum()
    steps = 2 * np.abs(scaled).max(0) / weight_steps
    of_weights = np.square(steps).sum() * (seen.mean_squares / np.square(factors)).sum()
    return float(of_activations + of_weights)


def _insert(graph: onnx.GraphProto, added: Mapping[str, onnx.NodeProto]) -> None:
    """Put each node right behind the one whose output it reads."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        nodes += [added[name] for name in node.output if name in added]
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copies.append(copy)
    del graph.node[:]
    graph.node.extend(copies)


def _values(tensor: onnx.TensorProto) -> Vector:
    return np.asarray(numpy_helper.to_array(tensor), np.float64)
