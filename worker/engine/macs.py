"""Counts the multiply-accumulates of one run, from the shapes that a real run has."""

from collections.abc import Sequence
from math import prod

import onnx
from onnx import TensorProto, helper

from worker.engine.errors import EngineError, PassError, ResourceError
from worker.engine.graphs import walk_nodes
from worker.engine.model_files import needs_external_data
from worker.engine.runtime import open_session, run
from worker.engine.samples import Array, Feeds

Shapes = dict[str, tuple[int, ...]]

WEIGHT_POSITIONS = {
    "Conv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "ConvTranspose": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
    "Gemm": 1,
    "LSTM": 1,
    "GRU": 1,
    "RNN": 1,
    "FusedMatMul": 1,
    "MatMulNBits": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "DynamicQuantizeLSTM": 1,
    "QGemm": 3,
}
"""The operators counted, and which of their inputs is the weight."""
SHAPE_PREFIX = "onnxpress/shape_of/"
RECURRENT = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}
UNCOUNTED = {"Einsum", "DeformConv", "Attention", "MultiHeadAttention", "GroupQueryAttention"}


def count_macs(model: onnx.ModelProto, feeds: Feeds) -> int | None:
    """Return the multiply-accumulates of one run; None where they cannot be told.

    Operators inside If, Loop and Scan bodies run an unknown number of times.
    """
    names = names_to_count(model)
    if not names:
        return None if names is None else 0
    if needs_external_data(model):
        return None
    try:
        shapes = run_shapes(model, names, feeds)
    except ResourceError:
        raise
    except EngineError:
        return None
    return macs_of(model, shapes)


def names_to_count(model: onnx.ModelProto) -> list[str] | None:
    """Return the values whose shapes the count takes; None where no shape would tell it."""
    counted = [node for node in walk_nodes(model) if _is_counted(node)]
    outer = [node for node in model.graph.node if _is_counted(node)]
    if len(counted) > len(outer) or any(node.op_type in UNCOUNTED for node in outer):
        return None
    return sorted({name for node in outer for name in [*node.input, *node.output] if name})


def macs_of(model: onnx.ModelProto, shapes: Shapes) -> int:
    """Return the multiply-accumulates of the main graph at these shapes of its values."""
    return sum(_macs(node, shapes) for node in model.graph.node if _is_counted(node))


def run_shapes(model: onnx.ModelProto, names: list[str], feeds: Feeds) -> Shapes:
    """Return the shapes that values of the main graph have when the model is run on these feeds.

    Raises:
        PassError: the model does not run with its values looked at.
    """
    combined = model.SerializeToString() + shape_nodes(names)
    session = open_session(combined, optimize=False, failure=PassError)
    outputs = run(session, feeds, [SHAPE_PREFIX + name for name in names])
    return named_shapes(names, outputs)


def shape_nodes(names: list[str]) -> bytes:
    """Return what makes a serialized model, appended to it, give the shapes of these values too.

    They come after its own outputs. Protobuf reads two messages after one another as one, their
    lists joined, so that no weight need be copied.
    """
    looking = onnx.ModelProto()
    for name in names:
        looking.graph.node.append(helper.make_node("Shape", [name], [SHAPE_PREFIX + name]))
        looking.graph.output.append(
            helper.make_tensor_value_info(SHAPE_PREFIX + name, TensorProto.INT64, [None])
        )
    data: bytes = looking.SerializeToString()
    return data


def named_shapes(names: list[str], outputs: Sequence[Array]) -> Shapes:
    """Return the shapes by name, from the last outputs of such a model."""
    return {
        name: tuple(int(size) for size in shape)
        for name, shape in zip(names, outputs[len(outputs) - len(names) :], strict=True)
    }


def _is_counted(node: onnx.NodeProto) -> bool:
    return node.op_type in WEIGHT_POSITIONS or node.op_type in UNCOUNTED


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Return one node's multiply-accumulates: outputs, times the products summed for each."""
    data = shapes[node.input[0]]
    weight = shapes[node.input[WEIGHT_POSITIONS[node.op_type]]]
    if node.op_type in RECURRENT:
        # (sequence, batch, input), or batch first: either way every step multiplies both weights
        return prod(data[:2]) * (prod(weight) + prod(shapes[node.input[2]]))
    if node.op_type == "ConvTranspose":
        return prod(data) * prod(weight[1:])
    output = shapes[node.output[0]]
    if "Conv" in node.op_type:
        return prod(output) * prod(weight[1:])
    if node.op_type == "Gemm":
        return prod(output) * prod(weight) // max(1, output[-1])
    return prod(output) * data[-1]
