import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import branching, doubling_functions, float_value, linear, model_of
from worker.engine.preparation.structure import (
    inline_functions,
    lift_constants,
    remove_identities,
    remove_unused,
    unlist_initializers,
)
from worker.engine.runtime import open_session, run

X = {"x": np.array([1, 2], np.float32)}


def rewritten(rewrite, model):
    graph = ir.from_proto(model)
    count = rewrite(graph)
    return ir.to_proto(graph), count


def chain(*nodes, weights=None, inputs=None):
    return model_of(
        list(nodes), inputs or [float_value("x", [2])], [float_value("y", [2])], weights
    )


def test_functions_are_written_out():
    model, count = rewritten(inline_functions, doubling_functions(3))

    assert count == 3
    assert not model.functions
    assert {node.op_type for node in model.graph.node} == {"Add"}
    assert np.array_equal(run(open_session(model), X)[0], [8, 16])


def test_weights_are_no_longer_inputs():
    source = linear(np.eye(2))
    source.ir_version = 3
    source.graph.input.extend([float_value("weight", [2, 2]), float_value("bias", [2])])

    model, count = rewritten(unlist_initializers, source)

    assert count == 2
    assert [value.name for value in model.graph.input] == ["x"]
    assert model.ir_version == 4


@pytest.mark.parametrize(
    ("attribute", "added"),
    [
        ({"value": numpy_helper.from_array(np.array([3, 4], np.float32), "any")}, [3, 4]),
        ({"value_float": 3.0}, 3),
        ({"value_floats": [3.0, 4.0]}, [3, 4]),
    ],
)
def test_every_form_of_constant_becomes_an_initializer(attribute, added):
    source = chain(
        helper.make_node("Constant", [], ["c"], **attribute),
        helper.make_node("Add", ["x", "c"], ["y"]),
    )
    before = source.SerializeToString()

    model, count = rewritten(lift_constants, source)

    assert count == 1
    assert [tensor.name for tensor in model.graph.initializer] == ["c"]
    assert np.array_equal(run(open_session(model), X)[0], X["x"] + np.array(added))
    assert source.SerializeToString() == before


@pytest.mark.parametrize(
    ("attribute", "data_type"),
    [
        ({"value_int": 3}, TensorProto.INT64),
        ({"value_ints": [3, 4]}, TensorProto.INT64),
        ({"value_string": b"a"}, TensorProto.STRING),
        ({"value_strings": [b"a", b"b"]}, TensorProto.STRING),
    ],
)
def test_integers_and_strings_become_initializers(attribute, data_type):
    source = chain(
        helper.make_node("Constant", [], ["c"], **attribute), helper.make_node("Relu", ["x"], ["y"])
    )
    source.graph.node.append(helper.make_node("Identity", ["c"], ["z"]))

    model, _ = rewritten(lift_constants, source)

    assert [(t.name, t.data_type) for t in model.graph.initializer] == [("c", data_type)]


def test_a_constant_that_is_an_output_stays_a_node():
    source = chain(helper.make_node("Constant", [], ["y"], value_floats=[1.0, 2.0]))

    model, count = rewritten(lift_constants, source)

    assert (count, model.graph.node[0].op_type) == (0, "Constant")


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ([("Identity", "x", "a"), ("Relu", "a", "y")], ["Relu"]),
        ([("Relu", "x", "a"), ("Identity", "a", "y")], ["Relu"]),
        ([("Relu", "x", "a"), ("Dropout", "a", "y")], ["Relu"]),
        ([("Identity", "x", "y")], ["Identity"]),
        ([("Identity", "w", "y")], ["Identity"]),
    ],
)
def test_identities_go_where_names_allow_it(nodes, left):
    source = chain(
        *(helper.make_node(op, [read], [made]) for op, read, made in nodes),
        weights={"w": np.array([5, 6], np.float32)},
    )

    model, count = rewritten(remove_identities, source)

    assert [node.op_type for node in model.graph.node] == left
    assert count == len(nodes) - len(left)
    assert np.array_equal(run(open_session(model), X)[0], run(open_session(source), X)[0])


def test_an_identity_that_hands_an_outer_value_out_of_a_branch_stays():
    model, count = rewritten(remove_identities, branching())

    assert count == 0
    open_session(model)


def test_dropout_that_is_on_stays():
    source = chain(
        helper.make_node("Dropout", ["x", "ratio", "on"], ["a"], seed=1),
        helper.make_node("Relu", ["a"], ["y"]),
        weights={"ratio": np.array(0.5, np.float32), "on": np.array(True)},
    )

    assert rewritten(remove_identities, source)[1] == 0


def test_what_nothing_reads_goes_in_branches_too():
    source = branching()
    source.graph.initializer.append(numpy_helper.from_array(np.ones(3), "unread"))
    branch = next(a.g for a in source.graph.node[1].attribute if a.name == "then_branch")
    branch.initializer.append(numpy_helper.from_array(np.ones(3), "unread_inside"))
    source.graph.node.append(helper.make_node("Relu", ["hidden"], ["unread_result"]))

    model, count = rewritten(remove_unused, source)

    assert count == 3
    assert [tensor.name for tensor in model.graph.initializer] == ["outer"]
    assert len(model.graph.node) == 2
