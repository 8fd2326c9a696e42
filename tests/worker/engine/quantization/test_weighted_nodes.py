import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.weighted_nodes import output_channels, weighted_node


def found(op_type, weight, bias=None, **attributes):
    """The answer for one node of these weights, and the view it was asked of."""
    arrays = {"w": weight} if bias is None else {"w": weight, "b": bias}
    node = helper.make_node(op_type, ["x", *arrays], ["y"], name="node", **attributes)
    graph = helper.make_graph(
        [node],
        "graph",
        [float_value("x", None)],
        [float_value("y", None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    view = GraphView(graph)
    return weighted_node(graph.node[0], view), view


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("op_type", "shape", "attributes", "axis", "channels"),
    [
        ("Conv", (6, 3, 1, 1), {}, 0, 6),
        ("MatMul", (3, 6), {}, 1, 6),
        ("Gemm", (3, 6), {}, 1, 6),
        ("Gemm", (6, 3), {"transB": 1}, 0, 6),
        ("ConvTranspose", (3, 6, 1, 1), {}, 1, 6),
        ("ConvTranspose", (4, 3, 1, 1), {"group": 2}, None, 6),
    ],
)
def test_output_channels_lie_along_the_axis_of_each_op_type(
    op_type, shape, attributes, axis, channels
):
    weighted, view = found(op_type, ones(*shape), **attributes)

    assert weighted.channel_axis == axis
    assert output_channels(weighted, view) == channels


def test_activation_weight_and_bias_are_named():
    weighted, _ = found("Gemm", ones(3, 6), ones(6))

    assert (weighted.activation, weighted.weight, weighted.bias) == ("x", "w", "b")


@pytest.mark.parametrize(
    ("op_type", "weight", "bias", "attributes", "reason"),
    [
        ("MatMul", ones(2, 3, 4), None, {}, "its weight has the shape [2, 3, 4]"),
        ("MatMul", ones(0, 4), None, {}, "its weight has the shape [0, 4]"),
        ("MatMul", np.ones((2, 2)), None, {}, "its weight is double, not float32"),
        ("Gemm", ones(2, 3), None, {"alpha": 0.5}, "its alpha is not 1"),
        ("Gemm", ones(2, 3), ones(2, 3), {}, "does not hold one value for each output channel"),
        ("Gemm", ones(2, 3), np.ones(3), {}, "its bias is computed by the graph"),
    ],
)
def test_what_integers_cannot_hold_is_declined_with_the_reason(
    op_type, weight, bias, attributes, reason
):
    answer, _ = found(op_type, weight, bias, **attributes)

    assert reason in answer


def test_computed_weights_and_constant_inputs_are_declined():
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "x"], ["square"], name="square"),
            helper.make_node("MatMul", ["w", "x"], ["turned"], name="turned"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])],
        [float_value("square", [2, 2]), float_value("turned", [2, 2])],
        [numpy_helper.from_array(ones(2, 2), "w")],
    )
    view = GraphView(graph)

    assert weighted_node(graph.node[0], view) == "its weight is computed by the graph"
    assert weighted_node(graph.node[1], view) == "its first input is constant"
