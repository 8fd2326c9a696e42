from dataclasses import replace

import numpy as np
import pytest

from tests.engine_runs import pass_context
from tests.onnx_models import linear
from worker.engine.cache import Cache
from worker.engine.calibration.channels import RowChannels
from worker.engine.calibration.collector import collect
from worker.engine.calibration.histogram import Histogram, RunningRange

DOUBLING = [[2.0, 0.0], [0.0, 2.0]]


@pytest.fixture
def kept(tmp_path):
    """What to calibrate with: each call in a work folder of its own, all with one cache."""
    (tmp_path / "cache").mkdir()
    counts = iter(range(100))

    def kept(*rows):
        feeds = [{"x": np.array([row], np.float32)} for row in rows]
        context = pass_context(tmp_path / str(next(counts)), feeds)
        return replace(context, cache=Cache(tmp_path / "cache"))

    return kept


@pytest.fixture
def runs(monkeypatch):
    """The models that were loaded to run samples on."""
    from worker.engine import runtime  # noqa: PLC0415 - to be watched

    opened = []
    original = runtime.open_session

    def open_session(*arguments, **options):
        opened.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(runtime, "open_session", open_session)
    return opened


@pytest.mark.parametrize("statistics", [RunningRange, Histogram, RowChannels])
def test_finds_what_another_job_saw_without_running_a_sample(kept, runs, statistics):
    first = collect(linear(DOUBLING), ["x", "product"], kept([1, 2], [-3, 0.5]), statistics)
    runs.clear()

    second = collect(linear(DOUBLING), ["product", "x"], kept([1, 2], [-3, 0.5]), statistics)

    assert runs == []
    assert list(second) == ["product", "x"]
    assert {name: repr(seen) for name, seen in second.items()} == {
        name: repr(seen) for name, seen in first.items()
    }


def test_looks_only_at_tensors_that_nobody_saw(kept):
    model = linear(DOUBLING, bias=[1.0, 1.0])
    collect(model, ["product"], kept([1, 2]), Histogram)

    collect(model, ["y"], kept([1, 2]), Histogram)
    seen = collect(model, ["product", "y"], kept([1, 2]), Histogram)

    assert (seen["product"].highest, seen["y"].highest) == (4.0, 5.0)
    assert len(list(kept([1, 2]).cache.folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("weights", "row"), [([[3.0, 0.0], [0.0, 3.0]], [1, 2]), (DOUBLING, [1, 3])]
)
def test_another_model_or_another_sample_is_another_matter(kept, weights, row):
    collect(linear(DOUBLING), ["product"], kept([1, 2]), Histogram)

    seen = collect(linear(weights), ["product"], kept(row), Histogram)

    assert seen["product"].highest == 6.0


def test_a_continued_histogram_is_that_of_one_pass(kept):
    collect(linear(DOUBLING), ["product"], kept([1, 2], [-3, 0.5]), Histogram)

    seen = collect(linear(DOUBLING), ["product"], kept([1, 2], [-3, 0.5]), Histogram)["product"]
    seen.update(np.array([100.0], np.float32))

    assert (seen.highest, seen.counts.sum()) == (100.0, 5)


def test_calibrates_again_where_the_cache_holds_something_else(kept, tmp_path):
    collect(linear(DOUBLING), ["product"], kept([1, 2]), Histogram)
    (entry,) = (tmp_path / "cache").iterdir()
    Cache(entry.parent).save(entry.stem, {"names": np.array(["product"]), "lowest": np.zeros(2)})

    seen = collect(linear(DOUBLING), ["product"], kept([1, 2]), Histogram)

    assert seen["product"].highest == 4.0


def test_an_integer_tensor_is_not_looked_at_twice(kept, runs):
    model = linear(DOUBLING)
    model.graph.node.add(op_type="Shape", input=["product"], output=["shape"])
    collect(model, ["product", "shape"], kept([1, 2]), Histogram)
    runs.clear()

    seen = collect(model, ["product", "shape"], kept([1, 2]), Histogram)

    assert (list(seen), runs) == (["product"], [])
