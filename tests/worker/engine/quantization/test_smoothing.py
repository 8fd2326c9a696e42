import numpy as np
import pytest
from onnx import helper

from tests.engine_runs import answers
from tests.onnx_models import float_value, model_of
from worker.engine.calibration.channels import RowChannels
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.placement import place
from worker.engine.quantization.smoothing import smooth, smoothable

WEIGHT_STEPS = 128


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def product_of_tanh():
    """Tanh, then its product with a weight; the activation is also an output."""
    return model_of(
        [
            helper.make_node("Tanh", ["x"], ["active"], name="tanh"),
            helper.make_node("MatMul", ["active", "w"], ["y"], name="matmul"),
        ],
        [float_value("x", ["rows", 8])],
        [float_value("y", ["rows", 4]), float_value("active", ["rows", 8])],
        {"w": values(8, 4)},
    )


def readers_of(model):
    view = GraphView(model.graph)
    return smoothable(place(view, {"matmul"}, absorb=True), view)


def seen(array):
    ranges = RowChannels()
    ranges.update(array)
    return ranges


def test_an_outlying_channel_moves_into_the_weight_and_answers_stay():
    model, feeds = product_of_tanh(), {"x": values(3, 8, seed=1)}
    before = answers(model, feeds)
    activation = values(100, 8)
    activation[:, 2] *= 100

    smoothed = smooth(model, readers_of(model), {"active": seen(activation)}, WEIGHT_STEPS)

    after = answers(model, feeds)
    assert smoothed == ["active"]
    assert [node.op_type for node in model.graph.node] == ["Tanh", "Mul", "MatMul"]
    assert after[0] == pytest.approx(before[0], rel=1e-4, abs=1e-5)
    assert after[1] == pytest.approx(before[1])


def test_even_channels_are_left_alone():
    model = product_of_tanh()

    smoothed = smooth(model, readers_of(model), {"active": seen(values(100, 8))}, WEIGHT_STEPS)

    assert smoothed == []
    assert [node.op_type for node in model.graph.node] == ["Tanh", "MatMul"]


def test_graph_inputs_and_weights_of_several_readers_are_left_alone():
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
            helper.make_node("Tanh", ["first"], ["active"], name="tanh"),
            helper.make_node("MatMul", ["active", "w"], ["y"], name="second"),
        ],
        [float_value("x", ["rows", 8])],
        [float_value("y", ["rows", 8])],
        {"w": values(8, 8)},
    )
    view = GraphView(model.graph)

    assert smoothable(place(view, {"first", "second"}, absorb=True), view) == {}
