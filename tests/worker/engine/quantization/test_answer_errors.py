import numpy as np
import pytest

from tests.onnx_models import linear
from worker.engine.quantization.answer_errors import AnswerErrors


def test_the_error_is_the_share_of_the_signal():
    feeds = [{"x": np.ones((1, 2), np.float32)}]
    errors = AnswerErrors(linear([[1.0, 0.0], [0.0, 2.0]]), feeds)

    error = errors.of_model(linear([[1.0, 0.0], [0.0, 1.0]]))

    assert error == pytest.approx(1 / 5)
