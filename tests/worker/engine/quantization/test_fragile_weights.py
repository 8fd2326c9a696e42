import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.fragile_weights import fragile_weights
from worker.engine.weights.remaining import RemainingWeights


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def three_products(small=None):
    """Two wide products, and a small one between them: (rows, 128) to (rows, 128)."""
    narrow = normal(128, 8, seed=2) if small is None else small
    return model_of(
        [
            helper.make_node("MatMul", ["x", "wide"], ["first"]),
            helper.make_node("MatMul", ["first", "narrow"], ["second"]),
            helper.make_node("MatMul", ["second", "last"], ["y"]),
        ],
        [float_value("x", ["rows", 128])],
        [float_value("y", ["rows", 128])],
        {"wide": normal(128, 512, seed=1)[:, :128], "narrow": narrow, "last": normal(8, 128)},
    )


@pytest.fixture
def fragile():
    """Each column's answers come from small values, beside a large one that is never used."""
    weight = normal(128, 8, seed=2)
    weight[0] = 300
    return weight


def found(model, allowed):
    feeds = [{"x": normal(16, 128, seed=3)}]
    feeds[0]["x"] @= _without_first_output()
    return fragile_weights(model, RemainingWeights(model), AnswerErrors(model, feeds), allowed)


def _without_first_output():
    """What makes the first product's first output 0, whatever it multiplies."""
    first = normal(128, 512, seed=1)[:, :1].astype(np.float64)
    return (np.eye(128) - first @ first.T / np.square(first).sum()).astype(np.float32)


def test_finds_the_one_that_the_answers_suffer_from(fragile):
    assert found(three_products(fragile), allowed=0.01) == {"narrow"}


def test_spends_nothing_where_8_bits_are_enough(fragile):
    assert found(three_products(), allowed=0.01) == set()
    assert found(three_products(fragile), allowed=10.0) == set()


def test_leaves_what_half_precision_cannot_hold(fragile):
    assert "narrow" not in found(three_products(fragile * 1000), allowed=0.01)
