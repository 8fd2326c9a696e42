import numpy as np

from tests.onnx_models import linear
from worker.engine.quantization.choosing import Choice, latency_ratio


def test_much_more_work_takes_longer():
    feeds = {"x": np.ones((256, 256), np.float32)}

    ratio = latency_ratio(linear(np.eye(256, 4)), linear(np.ones((256, 4096))), [feeds])

    assert ratio > 2


def test_leaving_all_in_float_says_why():
    choice = Choice({"a", "b"}, reasons={"c": "it is fragile"})

    choice.leave_all_float("it is slower")

    assert choice.chosen == set()
    assert choice.reasons == {"a": "it is slower", "b": "it is slower", "c": "it is fragile"}
    assert choice.notes == ["2 nodes stay in float after all: it is slower"]
