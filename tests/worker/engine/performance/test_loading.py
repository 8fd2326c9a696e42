import numpy as np
import onnx
import pytest

from tests.onnx_models import linear
from worker.engine import memory
from worker.engine.memory import PeakMemory
from worker.engine.performance.loading import compare_loading

MIB = 2**20
FEEDS = {"x": np.zeros((1, 2048), np.float32)}
linux_only = pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="needs Linux")


@pytest.fixture
def files(tmp_path):
    """Weights of 64 KiB, and of 32 MiB."""
    paths = []
    for width in (8, 4096):
        path = tmp_path / f"{width}.onnx"
        onnx.save(linear(np.ones((2048, width))), path)
        paths.append(path)
    return paths


def test_times_the_load_and_the_first_run_of_each(files):
    loading = compare_loading(*files, FEEDS, PeakMemory(), 1)

    assert 1 <= loading.loads <= 5
    assert loading.before.load_seconds > 0
    assert loading.after.run_seconds > 0


@linux_only
def test_memory_is_that_of_the_model_alone(files):
    loading = compare_loading(*files, FEEDS, PeakMemory(), 1)

    # all weights are held, and nothing of another model
    assert 32 * MIB - 4 * MIB < loading.after.memory_bytes < 4 * 32 * MIB
    assert loading.after.peak_memory_bytes >= loading.after.memory_bytes - 4 * MIB
    assert loading.before.peak_memory_bytes < 16 * MIB


@pytest.mark.parametrize("missing", ["STATM", "CLEAR_REFS"])
def test_memory_is_unknown_where_the_system_does_not_tell(files, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(memory, missing, tmp_path / "none")

    loading = compare_loading(*files, FEEDS, PeakMemory(), 1)

    assert loading.after.peak_memory_bytes is None


def test_memory_is_unknown_where_freed_memory_is_kept(files, monkeypatch):
    monkeypatch.setattr("worker.engine.performance.loading.give_back_free_memory", lambda: False)

    loading = compare_loading(*files, FEEDS, PeakMemory(), 1)

    assert loading.before.memory_bytes is loading.before.peak_memory_bytes is None


def test_slow_loads_are_not_repeated(files, monkeypatch):
    monkeypatch.setattr("worker.engine.performance.loading.ROUNDS_SECONDS", 0.0)

    assert compare_loading(*files, FEEDS, PeakMemory(), 1).loads == 1
