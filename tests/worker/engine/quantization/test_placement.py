import numpy as np
from onnx import helper

from tests.onnx_models import float_value, model_of, small_convnet
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.placement import place

WEIGHT_ARRAY = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1)


def names(*nodes):
    return [node.name for node in nodes]


def place_all(model, *, absorb=True):
    return place(GraphView(model.graph), {node.name for node in model.graph.node}, absorb=absorb)


def pooled():
    """Conv, MaxPool, Conv, and a Relu that nothing else shares."""
    return model_of(
        [
            helper.make_node("Conv", ["x", "w"], ["first"], name="conv1"),
            helper.make_node("MaxPool", ["first"], ["pooled"], name="pool", kernel_shape=[1, 1]),
            helper.make_node("Conv", ["pooled", "w"], ["second"], name="conv2"),
            helper.make_node("Relu", ["second"], ["y"], name="relu"),
        ],
        [float_value("x", [1, 2, 4, 4])],
        [float_value("y", [1, 2, 4, 4])],
        {"w": WEIGHT_ARRAY},
    )


def test_a_relu_becomes_the_range_behind_it():
    placement = place_all(small_convnet())

    assert names(*placement.absorbed) == ["relu"]
    assert "active" in placement.tensors
    assert "maps" not in placement.tensors


def test_a_relu_is_kept_where_ranges_may_not_absorb_it():
    placement = place_all(small_convnet(), absorb=False)

    assert placement.absorbed == []
    assert "maps" in placement.tensors


def test_nodes_that_move_values_share_the_scale_of_their_input():
    placement = place_all(pooled())

    assert placement.shared == {"pooled": "first"}
    assert placement.tensors == ["x", "first", "y"]
    assert placement.changed_names == ["conv1", "conv2", "pool", "relu"]


def test_a_relu_whose_input_others_read_is_kept():
    model = pooled()
    model.graph.output.append(float_value("second", [1, 2, 4, 4]))

    placement = place_all(model)

    assert placement.absorbed == []
    assert [node.name for node, _ in placement.declined] == ["relu"]


def test_nothing_is_placed_where_nothing_is_chosen():
    placement = place(GraphView(small_convnet().graph), set(), absorb=True)

    assert placement.weighted == []
    assert placement.tensors == []
