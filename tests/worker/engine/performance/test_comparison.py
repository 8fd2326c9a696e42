import numpy as np
import onnx

from tests.onnx_models import linear
from worker.engine.errors import ResourceError
from worker.engine.inspection import count_operators, describe
from worker.engine.memory import PeakMemory
from worker.engine.performance import comparison
from worker.engine.performance.comparison import Subjects, compare_performance
from worker.engine.runtime import open_session
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair

FEEDS = [{"x": np.zeros((1, 256), np.float32)}]


def subjects(folder, width_before, width_after):
    paths, models = [], []
    for name, width in (("before", width_before), ("after", width_after)):
        models.append(linear(np.ones((256, width))))
        paths.append(folder / f"{name}.onnx")
        onnx.save(models[-1], paths[-1])
    pair = LoadedPair(*(open_session(path) for path in paths), 9.0, 9.0)
    return Subjects(*paths, pair, describe(models[0], 1), count_operators(models[1]))


def compare(both):
    seen = []
    options = LatencyOptions(runs=30)
    performance = compare_performance(both, FEEDS, options, PeakMemory(), seen.append)
    assert seen == sorted(seen)
    return performance


def test_a_slower_result_has_its_reasons(tmp_path):
    performance = compare(subjects(tmp_path, 4, 16384))

    assert performance.latency.is_slower
    assert performance.kernels.reasons


def test_a_faster_result_needs_no_reason(tmp_path):
    performance = compare(subjects(tmp_path, 16384, 4))

    assert performance.latency.is_faster
    assert (performance.kernels.reasons, performance.warnings) == ([], [])


def test_loads_are_timed_in_turn_and_not_as_they_came(tmp_path):
    performance = compare(subjects(tmp_path, 4, 4))

    assert performance.latency.load_seconds_before == performance.loading.before.load_seconds
    assert performance.latency.load_seconds_after < 9


def test_too_little_memory_for_more_sessions_leaves_the_latency(tmp_path, monkeypatch):
    def refuse(*_):
        raise ResourceError("loading the model needs more memory", code="out_of_memory")

    monkeypatch.setattr(comparison, "compare_loading", refuse)

    performance = compare(subjects(tmp_path, 4, 4))

    assert performance.latency.ratio > 0
    assert performance.loading is performance.kernels is None
    assert "not all of speed and memory could be measured" in performance.warnings[0]


def test_slow_models_are_not_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "LONGEST_RUN_SECONDS", 0.0)

    assert compare(subjects(tmp_path, 4, 4)).loading is None


def test_models_that_load_slowly_are_not_profiled(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "LONGEST_LOAD_SECONDS", 0.0)

    performance = compare(subjects(tmp_path, 4, 4))

    assert performance.loading.loads >= 1
    assert performance.kernels is None
