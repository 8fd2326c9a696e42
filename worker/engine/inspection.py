"""What a model is: its inputs, outputs, operators and parameters."""

import math
from collections import Counter

import onnx

from worker.engine.graphs import DEFAULT_DOMAINS, default_opset, walk_graphs, walk_nodes
from worker.engine.requests import ModelInfo, TensorInfo


def describe(model: onnx.ModelProto, size_bytes: int) -> ModelInfo:
    """Return what is said about an uploaded model."""
    given = {tensor.name for tensor in model.graph.initializer}
    return ModelInfo(
        opset=default_opset(model) or max(opset.version for opset in model.opset_import),
        ir_version=model.ir_version,
        inputs=[describe_value(v) for v in model.graph.input if v.name not in given],
        outputs=[describe_value(v) for v in model.graph.output],
        op_counts=count_operators(model),
        parameter_count=count_parameters(model),
        size_bytes=size_bytes,
    )


def count_operators(model: onnx.ModelProto) -> dict[str, int]:
    """Return how often each operator occurs, subgraphs and functions included, most often first.

    Operators outside the default domain are named `domain:Op`.
    """
    counts = Counter(
        node.op_type if node.domain in DEFAULT_DOMAINS else f"{node.domain}:{node.op_type}"
        for node in walk_nodes(model)
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def count_parameters(model: onnx.ModelProto) -> int:
    """Return the number of constants: elements of all initializers and Constant nodes."""
    stored = sum(
        math.prod(tensor.dims)
        for graph in walk_graphs(model)
        for tensor in [*graph.initializer, *(s.values for s in graph.sparse_initializer)]
    )
    constants = (node for node in walk_nodes(model) if node.op_type == "Constant")
    return stored + sum(_constant_size(node) for node in constants)


def _constant_size(node: onnx.NodeProto) -> int:
    """Return the number of elements in a Constant node, in whichever form it holds them."""
    size = 0
    for attribute in node.attribute:
        if attribute.name == "value":
            size += math.prod(attribute.t.dims)
        elif attribute.name == "sparse_value":
            size += math.prod(attribute.sparse_tensor.values.dims)
        else:
            lists = len(attribute.floats) + len(attribute.ints) + len(attribute.strings)
            is_list = attribute.name in {"value_floats", "value_ints", "value_strings"}
            size += lists if is_list else 1
    return size


def describe_value(value: onnx.ValueInfoProto) -> TensorInfo:
    """Return a graph input's or output's name, numpy dtype and shape."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        name = (kind or "unknown").removesuffix("_type")
        return TensorInfo(name=value.name, dtype=name, shape=None)
    tensor = value.type.tensor_type
    shape = [_dimension(dim) for dim in tensor.shape.dim] if tensor.HasField("shape") else None
    return TensorInfo(name=value.name, dtype=dtype_name(tensor.elem_type), shape=shape)


def dtype_name(data_type: int) -> str:
    """Return numpy's name of an ONNX element type; `string` for strings."""
    if data_type == onnx.TensorProto.STRING:
        return "string"
    return str(onnx.helper.tensor_dtype_to_np_dtype(data_type))


def _dimension(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    # Paddle's exporter calls every free dimension "?", although they are not the same.
    return None if dim.dim_param in {"", "?"} else str(dim.dim_param)
