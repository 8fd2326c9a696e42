from math import inf

import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.weights.held_back import HeldBackAnswers


def test_the_worst_output_counts():
    """One output is off by a tenth (20 dB), the other by a hundredth (40 dB)."""

    def model(one, other):
        return model_of(
            [helper.make_node("Mul", ["x", name], [f"y_{name}"], name=name) for name in "ab"],
            [float_value("x", [1, 2])],
            [float_value("y_a", [1, 2]), float_value("y_b", [1, 2])],
            {"a": np.array([one], np.float32), "b": np.array([other], np.float32)},
        )

    answers = HeldBackAnswers(model(1.0, 1.0), [{"x": np.array([[3.0, 4.0]], np.float32)}] * 2)

    assert answers.worst_db(model(1.1, 1.01)) == pytest.approx(20, abs=0.01)


def test_equal_answers_are_as_good_as_can_be():
    answers = HeldBackAnswers(linear(np.eye(2)), [{"x": np.ones((1, 2), np.float32)}])

    assert answers.worst_db(linear(np.eye(2))) == inf
