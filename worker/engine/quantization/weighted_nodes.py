"""Nodes that compute with a constant weight: where it is, and whether integers can hold it."""

from dataclasses import dataclass

import onnx

from worker.engine.quantization.graph_view import GraphView, attribute, flat_bias

WEIGHTED_OP_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class WeightedNode:
    """A node with a constant weight, and a constant bias or none."""

    node: onnx.NodeProto
    channel_axis: int | None
    """Axis of the weight's output channels; None where they cannot be told apart."""

    @property
    def activation(self) -> str:
        """The input that is not constant."""
        return str(self.node.input[0])

    @property
    def weight(self) -> str:
        """The weight's initializer."""
        return str(self.node.input[1])

    @property
    def bias(self) -> str | None:
        """The bias's initializer."""
        return str(self.node.input[2]) if len(self.node.input) > 2 and self.node.input[2] else None


def weighted_node(node: onnx.NodeProto, view: GraphView) -> WeightedNode | str:
    """Return how a Conv, ConvTranspose, Gemm or MatMul is weighted, or why it is left alone."""
    if node.input[0] in view.initializers:
        return "its first input is constant"
    weight = view.initializers.get(node.input[1])
    if weight is None:
        return "its weight is computed by the graph"
    if weight.data_type != onnx.TensorProto.FLOAT:
        type_name = onnx.TensorProto.DataType.Name(weight.data_type).lower()
        return f"its weight is {type_name}, not float32"
    if 0 in weight.dims or (node.op_type in {"Gemm", "MatMul"} and len(weight.dims) != 2):
        return f"its weight has the shape {list(weight.dims)}"
    if node.op_type == "Gemm" and attribute(node, "alpha", 1.0) != 1.0:
        return "its alpha is not 1"
    found = WeightedNode(node, _channel_axis(node))
    return _bias_problem(found, view) or found


def output_channels(weighted: WeightedNode, view: GraphView) -> int:
    """Return the number of output channels, which is the size of a bias."""
    dims = view.initializers[weighted.weight].dims
    if weighted.node.op_type == "ConvTranspose":
        return int(dims[1] * attribute(weighted.node, "group", 1))
    return int(dims[weighted.channel_axis or 0])


def _channel_axis(node: onnx.NodeProto) -> int | None:
    """Return the axis along which a weight has one slice for each output channel."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    if node.op_type == "ConvTranspose" and attribute(node, "group", 1) != 1:
        return None
    return 1


def _bias_problem(weighted: WeightedNode, view: GraphView) -> str | None:
    if weighted.bias is None:
        return None
    if not view.is_float_constant(weighted.bias):
        return "its bias is computed by the graph"
    bias = view.constant(weighted.bias)
    if bias is None or flat_bias(bias, output_channels(weighted, view)) is None:
        return "its bias does not hold one value for each output channel"
    return None
