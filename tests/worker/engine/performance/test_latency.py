import numpy as np
import pytest

from tests.onnx_models import float_value, linear, model_of
from worker.engine.performance.latency import (
    MOST_PAIRS,
    Pairs,
    batched_feeds,
    compare_latency,
)
from worker.engine.report.timings import RatioInterval
from worker.engine.requests import TensorInfo
from worker.engine.runtime import open_session
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair, TimedRun

FREE = [TensorInfo(name="x", dtype="float32", shape=["batch", 2])]
FEEDS = {"x": np.zeros((1, 2), np.float32)}


def pairs_of(seconds, waiting):
    """Pairs of runs of so many seconds; `waiting` is what the original's runs waited."""
    return Pairs(
        are_threadless=True,
        before=[
            TimedRun(before, before - wait)
            for (before, _), wait in zip(seconds, waiting, strict=True)
        ],
        after=[TimedRun(after, after) for _, after in seconds],
    )


@pytest.fixture
def pair():
    session = open_session(linear(np.eye(2)))
    return LoadedPair(session, session, 0.25, 0.5)


def test_times_both_models_in_pairs(pair):
    seen = []

    latency, warnings = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=5), seen.append)

    assert len(latency.before.samples_seconds) == len(latency.after.samples_seconds) == 5
    before, after = latency.before.samples_seconds, latency.after.samples_seconds
    rounds = [(0, 2), (2, 4), (4, 5)]
    ratios = [sum(after[start:end]) / sum(before[start:end]) for start, end in rounds]
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
    monkeypatch.setattr("worker.engine.performance.latency.ASKED_FOR_SECONDS", 0.0)

    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=9), lambda fraction: None)

    assert len(latency.after.samples_seconds) == 1
    assert latency.ratio_interval is None
    assert not latency.is_slower
    assert latency.noise[0].startswith("only 1 rounds of runs fitted the time")


def test_goes_on_to_its_bounds_where_chance_never_leaves_the_ratio(pair, monkeypatch):
    monkeypatch.setattr("worker.engine.performance.latency.PRECISION", -1.0)
    monkeypatch.setattr("worker.engine.performance.latency.SMALL_MODEL_SECONDS", 60.0)

    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(), lambda fraction: None)

    assert len(latency.after.samples_seconds) == MOST_PAIRS


def test_stops_as_soon_as_the_ratio_is_certain(pair, monkeypatch):
    monkeypatch.setattr("worker.engine.performance.latency.PRECISION", 1e9)
    monkeypatch.setattr("worker.engine.performance.latency.SHORTEST_SECONDS", 0.0)

    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(), lambda fraction: None)

    assert len(latency.after.samples_seconds) == 20
    assert latency.ratio_interval.low <= latency.ratio <= latency.ratio_interval.high


def test_what_a_thread_did_not_compute_it_waited():
    pairs = pairs_of([(1.0, 2.0), (1.0, 1.0)], waiting=[0.5, 0.0])

    assert pairs.waiting_fraction == pytest.approx(0.1)  # half a second of five


def test_rounds_in_which_a_run_waited_are_left_out():
    disturbed, quiet = [(1.0, 5.0)] * 2, [(1.0, 2.0)] * 20
    waiting = [0.5, 0.0] + [0.0] * 20

    assert pairs_of(disturbed + quiet, waiting).ratios == [2.0] * 10


def test_too_few_quiet_rounds_leave_none_out():
    disturbed, quiet = [(1.0, 5.0)] * 2, [(1.0, 2.0)] * 18
    waiting = [0.5, 0.0] + [0.0] * 18

    assert pairs_of(disturbed + quiet, waiting).ratios == [5.0] + [2.0] * 9


def test_threads_of_which_nothing_is_known_leave_none_out():
    pairs = pairs_of([(1.0, 2.0)] * 40, waiting=[0.5] * 2 + [0.0] * 38)
    pairs.are_threadless = False

    assert len(pairs.ratios) == 20


def test_the_compressed_model_is_slower_only_where_chance_is_ruled_out(pair):
    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=3), lambda fraction: None)
    wide, narrow = (
        latency.model_copy(
            update={
                "ratio": 1.06,
                "ratio_interval": RatioInterval(low=low, high=1.1, confidence=0.95),
            }
        )
        for low in (0.99, 1.05)
    )

    assert (wide.is_slower, narrow.is_slower) == (False, True)
    assert not narrow.is_faster


def test_the_advantage_of_running_second_cancels():
    first, second = TimedRun(1.25, 1.25), TimedRun(1.0, 1.0)

    pairs = Pairs(before=[first, second] * 2, after=[second, first] * 2)

    assert pairs.ratios == [1.0, 1.0]


def test_sessions_of_one_model_differ_too(pair):
    latency, _ = compare_latency(pair, [FEEDS], FREE, LatencyOptions(runs=3), lambda fraction: None)
    certain = RatioInterval(low=1.015, high=1.025, confidence=0.95)

    little = latency.model_copy(update={"ratio": 1.02, "ratio_interval": certain})

    assert not little.is_slower
