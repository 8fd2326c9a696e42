import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import branching, float_value, linear, model_of, paddle_like
from worker.engine.inspection import count_parameters, describe, describe_value


def test_describes_a_model():
    info = describe(linear([[1, 2, 3], [4, 5, 6]]), 321)

    assert info.model_dump() == {
        "opset": 17,
        "ir_version": 10,
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 2]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": ["batch", 3]}],
        "op_counts": {"Add": 1, "MatMul": 1},
        "parameter_count": 9,
        "size_bytes": 321,
    }


def test_weights_listed_as_inputs_are_no_inputs():
    model = linear(np.eye(2))
    model.graph.input.append(float_value("weight", [2, 2]))

    assert [value.name for value in describe(model, 0).inputs] == ["x"]


def test_counts_operators_and_parameters_of_branches():
    info = describe(branching(), 0)

    assert info.op_counts == {"MatMul": 2, "Identity": 1, "If": 1}
    assert info.parameter_count == 128


def test_names_operators_of_other_domains_with_their_domain():
    node = helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")
    model = model_of([], [float_value("x", [1])], [float_value("x", [1])])
    model.graph.node.append(node)

    assert describe(model, 0).op_counts == {"com.microsoft:Gelu": 1}


def test_counts_constants_in_nodes():
    # kernel 2, scale 2, bias 2, mean 2, variance 2, added 2
    assert count_parameters(paddle_like()) == 12


@pytest.mark.parametrize(
    ("attribute", "count"),
    [
        ({"value_float": 1.0}, 1),
        ({"value_floats": [1.0, 2.0]}, 2),
        ({"value_ints": [1, 2, 3]}, 3),
        ({"value": numpy_helper.from_array(np.zeros((2, 2)))}, 4),
    ],
)
def test_counts_each_form_of_constant(attribute, count):
    model = model_of([], [float_value("x", [1])], [float_value("x", [1])])
    model.graph.node.append(helper.make_node("Constant", [], ["c"], **attribute))

    assert count_parameters(model) == count


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (helper.make_tensor_value_info("v", TensorProto.STRING, [2]), "string", [2]),
        (helper.make_tensor_value_info("v", TensorProto.BFLOAT16, None), "bfloat16", None),
        (helper.make_tensor_value_info("v", TensorProto.INT64, [None, "n"]), "int64", [None, "n"]),
        (helper.make_tensor_value_info("v", TensorProto.FLOAT, ["?", -1]), "float32", [None, None]),
        (helper.make_tensor_sequence_value_info("v", TensorProto.FLOAT, None), "sequence", None),
    ],
)
def test_describes_each_kind_of_value(value, dtype, shape):
    info = describe_value(value)

    assert (info.dtype, info.shape) == (dtype, shape)
