"""Counts the multiply-accumulates of one run, from the shapes that a real run has."""

from math import prod

import onnx
from onnx import TensorProto, helper

from worker.engine.errors import EngineError, PassError, ResourceError
from worker.engine.graphs import walk_nodes
from worker.engine.model_files import needs_external_data
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds

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
RECURRENT = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}
UNCOUNTED = {"Einsum", "DeformConv", "Attention", "MultiHeadAttention", "GroupQueryAttention"}


def count_macs(model: onnx.ModelProto, feeds: Feeds) -> int | None:
    """Return the multiply-accumulates of one run; None where they cannot be told.

    Operators inside If, Loop and Scan bodies run an unknown number of times.
    """
    counted = [node for node in walk_nodes(model) if _is_counted(node)]
    outer = [node for node in model.graph.node if _is_counted(node)]
    if len(counted) > len(outer) or any(node.op_type in UNCOUNTED for node in outer):
        return None
    if not outer:
        return 0
    if needs_external_data(model):
        return None
    names = {name for node in outer for name in [*node.input, *node.output] if name}
    try:
        shapes = run_shapes(model, sorted(names), feeds)
    except ResourceError:
        raise
    except EngineError:
        return None
    return sum(_macs(node, shapes) for node in outer)


def run_shapes(model: onnx.ModelProto, names: list[str], feeds: Feeds) -> Shapes:
    """Return the shapes that values of the main graph have when the model is run on these feeds.

    Raises:
        PassError: the model does not run with its values looked at.
    """
    prefix = "onnxpress/shape_of/"
    looking = onnx.ModelProto()
    for name in names:
        looking.graph.node.append(helper.make_node("Shape", [name], [prefix + name]))
        looking.graph.output.append(
            helper.make_tensor_value_info(prefix + name, TensorProto.INT64, [None])
        )
    # Protobuf reads two messages after one another as one, their lists joined: no copy of weights.
    combined = model.SerializeToString() + looking.SerializeToString()
    session = open_session(combined, optimize=False, failure=PassError)
    shapes = run(session, feeds, [prefix + name for name in names])
    return {
        name: tuple(int(size) for size in shape) for name, shape in zip(names, shapes, strict=True)
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
