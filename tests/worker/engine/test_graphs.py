import numpy as np
import onnx
import pytest
from onnx import helper

from tests.onnx_models import branching, doubling_functions, linear
from worker.engine.errors import UnsupportedModelError
from worker.engine.graphs import (
    default_opset,
    expanded_node_count,
    has_text_that_is_not_utf8,
    walk_graphs,
    walk_nodes,
    walk_tensors,
)


def test_walks_into_branches():
    model = branching()

    assert [graph.name for graph in walk_graphs(model)] == ["graph", "else", "then"]
    assert [node.name for node in walk_nodes(model)] == [
        "outer_matmul", "choice", "pass_on", "inner_matmul",
    ]  # fmt: skip
    assert [tensor.name for tensor in walk_tensors(model)] == ["outer", "inner"]


def test_walks_into_functions():
    assert [node.op_type for node in walk_nodes(doubling_functions(2))] == [
        "f1", "Add", "f0", "f0", "Add",
    ]  # fmt: skip


def test_finds_tensors_in_attributes():
    model = linear(np.eye(2))
    value = helper.make_tensor("inside", 1, [1], [1.0])
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))

    assert [tensor.name for tensor in walk_tensors(model)][-1] == "inside"


def test_takes_the_highest_of_two_imports_of_the_default_domain():
    model = linear(np.eye(2))
    model.opset_import.add(domain="ai.onnx", version=18)

    assert default_opset(model) == 18


def test_counts_nodes_as_if_functions_were_written_out():
    # f0 is 1 node; f1 calls it twice and adds: 3; f2: 7; the graph's only node is f2.
    assert expanded_node_count(doubling_functions(3)) == 7
    assert expanded_node_count(branching()) == 4


def test_refuses_functions_that_double_too_often():
    with pytest.raises(UnsupportedModelError, match="more than 1000000 nodes"):
        expanded_node_count(doubling_functions(24))


def test_refuses_functions_nested_too_deep():
    with pytest.raises(UnsupportedModelError, match="more than 100 deep"):
        expanded_node_count(doubling_functions(150))


def test_refuses_a_function_that_calls_itself():
    model = doubling_functions(1)
    model.functions[0].node[0].CopyFrom(helper.make_node("f0", ["a"], ["b"], domain="own"))

    with pytest.raises(UnsupportedModelError, match="more than 100 deep"):
        expanded_node_count(model)


@pytest.mark.parametrize("name", [b"pass_on", b"inner", b"batch", b"graph"])
def test_finds_text_that_is_not_utf8(name):
    content = branching().SerializeToString()

    broken = onnx.ModelProto.FromString(content.replace(name, b"\xff" * len(name)))

    assert has_text_that_is_not_utf8(broken)
    assert not has_text_that_is_not_utf8(onnx.ModelProto.FromString(content))
