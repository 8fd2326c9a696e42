import numpy as np
import pytest

from benchmarks.comparison.measuring import latency_ratio, worst_sqnr_db
from benchmarks.tasks.base import Network
from tests.onnx_models import linear

FEEDS = [{"x": np.array([[3.0, 4.0]], np.float32)}]


def network(weight, folder, name):
    path = folder / name
    path.write_bytes(linear(weight).SerializeToString())
    return Network(path)


def test_sqnr_is_that_of_the_definition(tmp_path):
    before = network(np.eye(2), tmp_path, "before.onnx")
    after = network([[1, 0], [0, 0.5]], tmp_path, "after.onnx")

    # signal 9 + 16, noise (4 - 2)²
    assert worst_sqnr_db(before, after, FEEDS) == pytest.approx(10 * np.log10(25 / 4))
    assert worst_sqnr_db(before, before, FEEDS) is None


def test_latency_is_a_ratio_of_times(tmp_path):
    network(np.eye(2), tmp_path, "same.onnx")
    network(np.eye(2), tmp_path, "other.onnx")

    assert latency_ratio(tmp_path / "same.onnx", tmp_path / "other.onnx", FEEDS) > 0
