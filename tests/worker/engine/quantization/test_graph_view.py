import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import branching, float_value, linear, model_of, small_convnet
from worker.engine.quantization.graph_view import GraphView, attribute, flat_bias, names_read


def test_producers_and_readers_are_found_by_name():
    view = GraphView(small_convnet().graph)

    assert view.producers["active"].name == "relu"
    assert [node.name for node in view.readers["active"]] == ["flatten"]


def test_an_initializer_that_is_a_graph_input_is_no_constant():
    model = linear([[1.0]])
    model.graph.input.append(float_value("weight", [1, 1]))

    view = GraphView(model.graph)

    assert view.constant("weight") is None
    assert not view.is_float_constant("weight")
    assert view.is_float_constant("bias")


def test_integers_are_constants_but_no_floats():
    model = model_of(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [float_value("x", [4])],
        [float_value("y", [2, 2])],
        {"shape": np.array([2, 2])},
    )

    view = GraphView(model.graph)

    assert not view.is_float_constant("shape")
    np.testing.assert_array_equal(view.constant("shape"), [2, 2])


def test_a_graph_output_has_no_only_reader():
    model = small_convnet()
    model.graph.output.append(float_value("active", None))

    view = GraphView(model.graph)

    assert view.only_reader("active") is None
    assert view.only_reader("maps").name == "relu"


def test_what_a_body_reads_its_node_reads():
    graph = branching().graph

    assert set(names_read(graph.node[1])) == {"flag", "hidden", "inner", "chosen"}
    assert [node.name for node in GraphView(graph).readers["hidden"]] == ["choice"]


def test_attributes_have_defaults():
    node = helper.make_node("Gemm", ["a", "b"], ["c"], alpha=0.5)

    assert attribute(node, "alpha", 1.0) == 0.5
    assert attribute(node, "beta", 1.0) == 1.0


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3)])
def test_a_bias_for_each_channel_is_flattened(shape):
    assert flat_bias(np.ones(shape), 3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 3)])
def test_other_shapes_are_no_bias(shape):
    assert flat_bias(np.ones(shape), 3) is None
