from dataclasses import replace

import numpy as np
import pytest

from tests.engine_runs import GivenSamples, pass_context
from tests.onnx_models import small_convnet
from worker.engine.cache import Cache
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.preparation.prepare import prepare
from worker.engine.weights import moments
from worker.engine.weights.finding import find_weights
from worker.engine.weights.grids import Grid
from worker.engine.weights.known_grids import KnownGrids

GRID = Grid(4, np.array([[1, -2], [3, 4]], np.int8), np.array([[0.5], [0.25]], np.float32), (4,))


class Weight:
    """A weight of four values."""

    class tensor:  # noqa: N801
        dims = (4,)


@pytest.fixture
def samples():
    return GivenSamples([{"image": np.ones((1, 3, 8, 8), np.float32)}])


@pytest.fixture
def model():
    return small_convnet()


def test_finds_what_was_kept(tmp_path, model, samples):
    known = KnownGrids(Cache(tmp_path), model, samples, "a")
    known.keep(GRID, 3)

    found = KnownGrids(Cache(tmp_path), small_convnet(), samples, "a").find(Weight(), 3, 4)

    assert (found.values == GRID.values).all()
    assert (found.scale == GRID.scale).all()
    assert (found.bits, found.weight_shape) == (4, (4,))


@pytest.mark.parametrize(("place", "bits", "options"), [(2, 4, "a"), (3, 2, "a"), (3, 4, "b")])
def test_does_not_take_another_grid_for_it(tmp_path, model, samples, place, bits, options):
    KnownGrids(Cache(tmp_path), model, samples, "a").keep(GRID, 3)

    assert KnownGrids(Cache(tmp_path), model, samples, options).find(Weight(), place, bits) is None


def test_knows_nothing_of_another_model(tmp_path, model, samples):
    KnownGrids(Cache(tmp_path), model, samples, "a").keep(GRID, 3)

    other = KnownGrids(Cache(tmp_path), small_convnet(seed=1), samples, "a")

    assert other.find(Weight(), 3, 4) is None


def test_has_nothing_without_a_cache(model, samples):
    known = KnownGrids(Cache(), model, samples, "a")
    known.keep(GRID, 3)

    assert known.find(Weight(), 3, 4) is None


def test_known_grids_give_the_same_bytes_without_calibration(tmp_path, model, monkeypatch):
    random = np.random.default_rng(0)
    feeds = [{"image": random.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(10)]
    weights = [w.name for w in find_weights(model, 512)]
    step = WeightQuantization(
        bits=4, runtime_form="folded", overrides=[{"weights": weights, "bits": 4}]
    )
    (tmp_path / "cache").mkdir()
    context = replace(pass_context(tmp_path, feeds), cache=Cache(tmp_path / "cache"))
    model = prepare(model, step.required_opset()).model
    first = step.apply(model, context).model
    monkeypatch.setattr(moments.MultipliedLayer, "add", None)  # would fail if it were called

    again = step.apply(model, context).model

    assert again.SerializeToString() == first.SerializeToString()
