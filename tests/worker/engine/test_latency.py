import numpy as np
import pytest

from tests.onnx_models import float_value, linear, model_of
from worker.engine.latency import batched_feeds, compare_latency
from worker.engine.requests import TensorInfo
from worker.engine.runtime import open_session
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair

FREE = [TensorInfo(name="x", dtype="float32", shape=["batch", 2])]
FEEDS = {"x": np.zeros((1, 2), np.float32)}


@pytest.fixture
def pair():
    session = open_session(linear(np.eye(2)))
    return LoadedPair(session, session, 0.25, 0.5)


def test_times_both_models_in_pairs(pair):
    seen = []

    latency, warnings = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=5), seen.append)

    assert len(latency.before.samples_seconds) == len(latency.after.samples_seconds) == 5
    ratios = np.divide(latency.after.samples_seconds, latency.before.samples_seconds)
    assert latency.ratio == pytest.approx(np.median(ratios))
    assert latency.before.p50_seconds == pytest.approx(np.median(latency.before.samples_seconds))
    assert (latency.load_seconds_before, latency.load_seconds_after) == (0.25, 0.5)
    assert (seen, warnings) == ([0.2, 0.4, 0.6, 0.8, 1.0], [])


def test_repeats_a_sample_along_a_free_first_axis():
    batch = batched_feeds({"x": np.array([[1, 2]])}, FREE, 3)

    assert batch["x"].tolist() == [[1, 2]] * 3


def test_runs_a_model_of_fixed_size_without_a_batch():
    fixed = model_of([], [float_value("x", [1, 2])], [float_value("x", [1, 2])])
    session = open_session(fixed)
    inputs = [TensorInfo(name="x", dtype="float32", shape=[1, 2])]

    latency, [warning] = compare_latency(
        LoadedPair(session, session, 0, 0),
        [FEEDS],
        inputs,
        LatencyOptions(runs=3, batch_size=8),
        lambda fraction: None,
    )

    assert latency.batch_size == 1
    assert "does not take 8 samples at a time" in warning


def test_measures_the_batch_that_was_asked_for(pair):
    options = LatencyOptions(runs=3, batch_size=8)

    latency, warnings = compare_latency(pair, [FEEDS], FREE, options, lambda fraction: None)

    assert (latency.batch_size, warnings) == (8, [])


def test_stops_when_the_time_is_up(pair, monkeypatch):
    monkeypatch.setattr("worker.engine.timing.BUDGET_SECONDS", 0.0)

    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=9), lambda fraction: None)

    assert len(latency.after.samples_seconds) == 1
