"""Counts the multiply-accumulates of one run, from shapes inferred for real inputs."""

from math import prod

import onnx

from worker.engine.errors import EngineError, PassError
from worker.engine.graphs import walk_nodes
from worker.engine.model_files import without_weights
from worker.engine.runtime import bounded
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
}
"""The operators counted, and which of their inputs is the weight."""
UNCOUNTED = {"Einsum", "DeformConv", "Attention", "MultiHeadAttention", "GroupQueryAttention"}


def count_macs(model: onnx.ModelProto, feeds: Feeds) -> int | None:
    """Return the multiply-accumulates of one run; None where a shape they need is not known.

    Operators inside If, Loop and Scan bodies run an unknown number of times.
    """
    counted = [node for node in walk_nodes(model) if _is_counted(node)]
    outer = [node for node in model.graph.node if _is_counted(node)]
    if len(counted) > len(outer):
        return None
    if any(node.op_type in UNCOUNTED for node in outer):
        return None
    try:
        shapes = infer_shapes(model, feeds)
    except EngineError:
        return None
    total = 0
    for node in outer:
        macs = _macs(node, shapes)
        if macs is None:
            return None
        total += macs
    return total


def infer_shapes(model: onnx.ModelProto, feeds: Feeds) -> Shapes:
    """Return the fully known shapes of a model's values when it is run on these feeds.

    Raises:
        PassError: shape inference fails, or takes too long.
    """
    outline, _ = without_weights(model)
    del outline.graph.value_info[:]
    for value in outline.graph.output:
        value.type.tensor_type.ClearField("shape")
    for value in outline.graph.input:
        if value.name in feeds:
            value.type.tensor_type.ClearField("shape")
            for size in feeds[value.name].shape:
                value.type.tensor_type.shape.dim.add(dim_value=size)
    with bounded("inferring shapes", PassError):
        inferred = onnx.shape_inference.infer_shapes(outline, data_prop=True)
    shapes: Shapes = {tensor.name: tuple(tensor.dims) for tensor in outline.graph.initializer}
    for value in [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]:
        tensor_type = value.type.tensor_type
        dims = tensor_type.shape.dim
        if tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = tuple(dim.dim_value for dim in dims)
    return shapes


def _is_counted(node: onnx.NodeProto) -> bool:
    return node.op_type in WEIGHT_POSITIONS or node.op_type in UNCOUNTED


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    """Return one node's multiply-accumulates: outputs, times the products summed for each."""
    is_recurrent = node.op_type in {"LSTM", "GRU", "RNN"}
    position = WEIGHT_POSITIONS[node.op_type]
    data = shapes.get(node.input[0])
    weight = shapes.get(node.input[position])
    # A recurrent node may leave its first output out; its second weight stands in for it.
    output = shapes.get(node.input[2] if is_recurrent else node.output[0])
    if data is None or weight is None or output is None:
        return None
    if is_recurrent:
        # (sequence, batch, input), or batch first: either way every step multiplies both weights
        return prod(data[:2]) * (prod(weight) + prod(output))
    if node.op_type == "ConvTranspose":
        return prod(data) * prod(weight[1:])
    if "Conv" in node.op_type:
        return prod(output) * prod(weight[1:])
    if node.op_type == "Gemm":
        return prod(output) * prod(weight) // max(1, output[-1])
    return prod(output) * data[-1]
