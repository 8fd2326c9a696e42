import numpy as np
import onnx_ir as ir
import pytest

from tests.onnx_models import branching, float_value, linear
from worker.engine.preparation.constants import (
    add_constant,
    array_of,
    bypass,
    is_constant,
    replace_constant,
    value_names,
    walk,
)


def test_walks_into_branches():
    names = [node.name for node in walk(ir.from_proto(branching()))]

    assert sorted(names) == ["choice", "inner_matmul", "outer_matmul", "pass_on"]


def test_a_weight_that_a_caller_can_override_is_no_constant():
    model = linear(np.eye(2))
    model.graph.input.append(float_value("weight", [2, 2]))
    values = ir.from_proto(model).graph.initializers

    assert not is_constant(values["weight"])
    assert is_constant(values["bias"])
    assert array_of(values["weight"]) is None


def test_replaced_numbers_keep_name_and_type():
    graph = ir.from_proto(linear(np.eye(2))).graph
    weight = graph.initializers["weight"]

    replace_constant(weight, np.array([[1.5, 2, 3]], np.float64))

    assert weight.const_value.name == "weight"
    assert weight.const_value.dtype == ir.DataType.FLOAT
    assert np.array_equal(array_of(weight), [[1.5, 2, 3]])


def test_knows_the_names_of_inputs_weights_and_results_in_branches_too():
    model = ir.from_proto(branching())

    assert {"x", "y", "inner"} <= value_names(model)


def test_a_bypassed_output_gives_its_name_away():
    model = ir.from_proto(linear(np.eye(2)))
    product, add = list(model.graph)

    assert bypass(add, product.outputs[0])
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert len(model.graph) == 1


@pytest.mark.parametrize("source", ["x", "weight"])
def test_inputs_and_weights_cannot_become_outputs(source):
    model = ir.from_proto(linear(np.eye(2)))
    values = {
        value.name: value for value in [*model.graph.inputs, *model.graph.initializers.values()]
    }

    assert not bypass(list(model.graph)[1], values[source])
    assert len(model.graph) == 2


def test_an_added_constant_is_an_initializer():
    model = ir.from_proto(linear(np.eye(2)))

    value = add_constant(model.graph, "extra", np.array([1, 2], np.int64))

    assert model.graph.initializers["extra"] is value
    assert value.const_value.dtype == ir.DataType.INT64
