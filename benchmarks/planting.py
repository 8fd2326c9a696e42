"""Faults to plant in a model: its float answers stay, but integers lose them at a known node."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.quantization.graph_view import GraphView, attribute

WEIGHTED = {"Conv", "Gemm", "MatMul"}
HOMOGENEOUS = {"AveragePool", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Relu"}
"""f(s x) = s f(x) for a factor s > 0 of each channel."""
ENDING_IN_ZERO = {"Clip", "Relu"}
LAYER_FACTOR = 100.0
BRANCH_FACTOR = 1000.0
DEAD_FACTOR = 1000.0
DEAD_BIAS = -1e6


@dataclass(frozen=True)
class Planted:
    """A model with a fault, the same without, and the nodes where the fault is."""

    model: onnx.ModelProto
    sound: onnx.ModelProto
    culprits: tuple[str, ...]


def scale_layer(model: onnx.ModelProto) -> Planted | None:
    """Scale half of a layer's output channels by 100, and the inputs of all that read them back.

    A whole layer scaled and scaled back is no fault: integers have a scale for each weight and each
    activation, and all of their errors are relative to it.
    """
    for first in _layers(model):
        readers = _followers(GraphView(model.graph), first, HOMOGENEOUS)
        if not readers:
            continue
        planted = _copy(model)
        view = GraphView(planted.graph)
        factors = np.ones(_output_channels(view, first), np.float32)
        factors[::2] = LAYER_FACTOR
        _scale_outputs(view, first, factors)
        for reader in readers:
            _scale_inputs(view, reader, 1 / factors)
        return Planted(planted, model, (first.name, *(reader.name for reader in readers)))
    return None


def scale_branch(model: onnx.ModelProto) -> Planted | None:
    """Let a layer read a Concat of its input's two halves, one of them scaled by 1000.

    Its weights for that half are scaled back.
    """
    for reader in _layers(model):
        planted = _copy(model)
        view = GraphView(planted.graph)
        count = _input_channels(view, reader)
        if count < 2 or reader.input[0] in view.inputs:
            continue
        half = count // 2
        factors = np.ones(count, np.float32)
        factors[half:] = BRANCH_FACTOR
        _scale_inputs(view, reader, 1 / factors)
        nodes = _concat_of_halves(planted, reader, half)
        position = next(i for i, n in enumerate(planted.graph.node) if n.name == reader.name)
        rest = list(planted.graph.node)[position:]
        del planted.graph.node[position:]
        planted.graph.node.extend([*nodes, *rest])
        return Planted(planted, model, ("planted_concat", reader.name))
    return None


def kill_channel(model: onnx.ModelProto) -> Planted | None:
    """Give one output channel weights 1000 times as large, and a bias that keeps it at 0.

    The sound model has the same dead channel, of weights that are 0.
    """
    view = GraphView(model.graph)
    for layer in _layers(model):
        reader = view.only_reader(layer.output[0])
        if len(layer.input) < 3 or reader is None or reader.op_type not in ENDING_IN_ZERO:
            continue
        sound, planted = _copy(model), _copy(model)
        for each, factor in ((sound, 0.0), (planted, DEAD_FACTOR)):
            inner = GraphView(each.graph)
            _replace(inner, layer.input[1], _killed(inner, layer, factor))
            bias = _values(inner, layer.input[2])
            bias[0] = DEAD_BIAS
            _replace(inner, layer.input[2], bias)
        return Planted(planted, sound, (layer.name,))
    return None


FAULTS: dict[str, Callable[[onnx.ModelProto], Planted | None]] = {
    "half a layer x100": scale_layer,
    "a Concat branch x1000": scale_branch,
    "a dead channel x1000": kill_channel,
}


def _layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the layers without groups, from the middle of the model on."""
    view = GraphView(model.graph)
    found = [n for n in model.graph.node if _is_layer(view, n) and not _is_grouped(n)]
    return found[len(found) // 2 :] + found[: len(found) // 2]


def _followers(view: GraphView, node: onnx.NodeProto, between: set[str]) -> list[onnx.NodeProto]:
    """Return the layers that read a layer's output, none where anything else reads it too."""
    found: list[onnx.NodeProto] = []
    waiting = [node.output[0]]
    while waiting:
        name = waiting.pop()
        if name in view.outputs:
            return []
        for reader in view.readers[name]:
            if reader.op_type in between:
                waiting.append(reader.output[0])
            elif _is_layer(view, reader) and reader.input[0] == name:
                found.append(reader)
            else:
                return []
    return found


def _is_layer(view: GraphView, node: onnx.NodeProto) -> bool:
    """Return whether a node has a weight of its own."""
    return (
        node.op_type in WEIGHTED
        and view.is_float_constant(node.input[1])
        and len(view.readers[node.input[1]]) == 1
        and (node.op_type != "Gemm" or not attribute(node, "transA", 0))
    )


def _is_grouped(node: onnx.NodeProto) -> bool:
    return node.op_type == "Conv" and attribute(node, "group", 1) != 1


def _output_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1


def _output_channels(view: GraphView, node: onnx.NodeProto) -> int:
    return int(view.initializers[node.input[1]].dims[_output_axis(node)])


def _input_axis(node: onnx.NodeProto) -> int:
    """Return the axis of a weight's input channels; of a depthwise Conv that of its outputs."""
    return 0 if _is_grouped(node) else 1 - _output_axis(node)


def _input_channels(view: GraphView, node: onnx.NodeProto) -> int:
    return int(view.initializers[node.input[1]].dims[_input_axis(node)])


def _scale_outputs(view: GraphView, node: onnx.NodeProto, factors: np.ndarray) -> None:
    _scale(view, node.input[1], _output_axis(node), factors)
    if len(node.input) > 2:
        _scale(view, node.input[2], -1, factors)


def _scale_inputs(view: GraphView, node: onnx.NodeProto, factors: np.ndarray) -> None:
    _scale(view, node.input[1], _input_axis(node), factors)


def _scale(view: GraphView, name: str, axis: int, factors: np.ndarray) -> None:
    values = _values(view, name)
    shape = [1] * values.ndim
    shape[axis] = len(factors)
    _replace(view, name, values * factors.reshape(shape))


def _killed(view: GraphView, node: onnx.NodeProto, factor: float) -> np.ndarray:
    values = _values(view, node.input[1])
    if _output_axis(node) == 0:
        values[0] *= factor
    else:
        values[:, 0] *= factor
    return values


def _concat_of_halves(
    model: onnx.ModelProto, reader: onnx.NodeProto, half: int
) -> list[onnx.NodeProto]:
    """Return nodes that scale the second half of a layer's input channels, and let it read them."""
    axis = 1 if reader.op_type == "Conv" else -1
    numbers = {
        "planted_axis": np.array([axis]),
        "planted_start": np.array([0]),
        "planted_half": np.array([half]),
        "planted_end": np.array([2**31 - 1]),
        "planted_factor": np.array(BRANCH_FACTOR, np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in numbers.items())
    source = reader.input[0]
    inner = next(node for node in model.graph.node if node.name == reader.name)
    inner.input[0] = "planted_joined"
    return [
        helper.make_node(
            "Slice", [source, "planted_start", "planted_half", "planted_axis"], ["planted_low"],
            name="planted_slice_0",
        ),
        helper.make_node(
            "Slice", [source, "planted_half", "planted_end", "planted_axis"], ["planted_rest"],
            name="planted_slice_1",
        ),
        helper.make_node(
            "Mul", ["planted_rest", "planted_factor"], ["planted_high"], name="planted_mul"
        ),
        helper.make_node(
            "Concat", ["planted_low", "planted_high"], ["planted_joined"], name="planted_concat",
            axis=axis,
        ),
    ]  # fmt: skip


def _values(view: GraphView, name: str) -> np.ndarray:
    return numpy_helper.to_array(view.initializers[name]).copy()


def _replace(view: GraphView, name: str, values: np.ndarray) -> None:
    view.initializers[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
