"""Weights that a file holds as integers and a scale, decoded by Cast and Mul."""

import onnx
from onnx import TensorProto

from worker.engine.graphs import walk_graphs, walk_nodes

INTEGER_TYPES = {
    TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2,
    TensorProto.UINT2,
}  # fmt: skip


def decoding_products(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """Return, by the name of each constant of integers, the Mul that scales what a Cast makes."""
    integers = {
        tensor.name
        for graph in walk_graphs(model)
        for tensor in graph.initializer
        if tensor.data_type in INTEGER_TYPES
    }
    if not integers:
        return {}
    nodes = list(walk_nodes(model))
    casts = [node for node in nodes if node.op_type == "Cast" and node.input[0] in integers]
    sources = {node.output[0]: node.input[0] for node in casts}
    products = [node for node in nodes if node.op_type == "Mul"]
    return {sources[name]: node for node in products for name in node.input if name in sources}
