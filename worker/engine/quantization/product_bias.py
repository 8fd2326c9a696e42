"""Joins MatMul and the Add of its bias to Gemm, whose integer kernel takes a bias.

onnxruntime does the same when it loads a model (matmul_add_fusion.cc), but leaves the bias float,
and has no integer kernel for that.
"""

from collections.abc import Collection

import onnx

from worker.engine.errors import PassError
from worker.engine.model_files import without_weights
from worker.engine.quantization.graph_view import GraphView, flat_bias
from worker.engine.runtime import bounded


def join_biases(model: onnx.ModelProto, chosen: Collection[str]) -> list[str]:
    """Rewrite the model in place and return the names of the Add nodes that are gone.

    Only for chosen products of rows, (rows, inputs) by (inputs, outputs), that one Add reads.
    """
    view = GraphView(model.graph)
    candidates = [
        node for node in model.graph.node if node.op_type == "MatMul" and node.name in chosen
    ]
    added = {node.name: _bias_of(node, view) for node in candidates}
    if not any(added.values()):
        return []
    ranks = _ranks(model)
    gone: list[onnx.NodeProto] = []
    for node in candidates:
        found = added[node.name]
        if found is not None and ranks.get(node.input[0]) == 2:
            add, bias = found
            node.op_type = "Gemm"
            node.input.append(bias)
            node.output[0] = add.output[0]
            gone.append(add)
    for add in gone:
        model.graph.node.remove(add)
    return [add.name for add in gone]


def _bias_of(node: onnx.NodeProto, view: GraphView) -> tuple[onnx.NodeProto, str] | None:
    """Return the Add behind a MatMul and the constant it adds to each row."""
    weight = view.initializers.get(node.input[1])
    add = view.only_reader(node.output[0])
    if weight is None or len(weight.dims) != 2 or add is None or add.op_type != "Add":
        return None
    name = add.input[1] if add.input[0] == node.output[0] else add.input[0]
    bias = view.constant(name) if view.is_float_constant(name) else None
    if bias is None or bias.ndim > 2 or flat_bias(bias, weight.dims[1]) is None:
        return None
    return add, str(name)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of axes of each tensor where it can be told."""
    outline, _ = without_weights(model)
    try:
        with bounded("inferring shapes", PassError):
            graph = onnx.shape_inference.infer_shapes(outline).graph
    except PassError:
        graph = model.graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.HasField("shape")
    }
