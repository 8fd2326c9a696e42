import numpy as np
import pytest

from worker.engine.calibration.histogram import Histogram, RunningRange
from worker.engine.calibration.ranges import RangeOptions, TensorRange, find_range


def options(method, *, percentile=99.0, levels=256, is_symmetric=False):
    return RangeOptions(method, percentile, levels, is_symmetric)


def histogram_of(values):
    histogram = Histogram()
    histogram.update(np.asarray(values, np.float32))
    return histogram


def rounding_error(values, found, levels=256):
    scale = (found.highest - found.lowest) / (levels - 1)
    zero_point = np.round(-found.lowest / scale)
    steps = np.clip(np.round(values / scale) + zero_point, 0, levels - 1)
    return float(np.mean((values - (steps - zero_point) * scale) ** 2))


def test_minmax_holds_everything_and_zero():
    found = find_range(RunningRange(1.0, 3.0), options("minmax"))

    assert found == TensorRange(0.0, 3.0)


def test_symmetric_range_is_as_wide_on_both_sides():
    found = find_range(RunningRange(-1.0, 3.0), options("minmax", is_symmetric=True))

    assert found == TensorRange(-3.0, 3.0)


def test_percentile_leaves_out_its_share_on_each_side():
    histogram = histogram_of(np.arange(-500, 500))

    found = find_range(histogram, options("percentile", percentile=98.0))

    # 10 of the 1000 values lie below -490, and 10 above 489
    assert found == TensorRange(-490.0, 489.0 + histogram.width)


def test_percentile_of_all_values_is_their_range():
    found = find_range(histogram_of([-3.0, 5.0]), options("percentile", percentile=100.0))

    assert found == TensorRange(-3.0, 5.0)


@pytest.mark.parametrize("is_symmetric", [False, True])
def test_mse_leaves_out_a_rare_large_value(is_symmetric):
    values = np.append(np.random.default_rng(0).normal(size=1_000_000), 60.0).astype(np.float32)

    found = find_range(histogram_of(values), options("mse", is_symmetric=is_symmetric))

    assert found.highest < 30
    assert rounding_error(values, found) < rounding_error(values, TensorRange(-60.0, 60.0))


def test_mse_keeps_an_even_spread_whole():
    found = find_range(histogram_of(np.linspace(-1, 1, 10_001)), options("mse"))

    assert found.lowest == pytest.approx(-1, abs=0.02)
    assert found.highest == pytest.approx(1, abs=0.02)


def test_mse_clips_nothing_that_sixteen_bits_can_hold():
    values = np.append(np.random.default_rng(0).normal(size=1000), 60.0)

    found = find_range(histogram_of(values), options("mse", levels=65536))

    assert found.highest == pytest.approx(60)


def test_entropy_searches_narrower_ranges_than_minmax():
    values = np.append(np.random.default_rng(0).normal(size=1_000_000), 60.0)

    found = find_range(histogram_of(values), options("entropy"))

    assert 3 < found.highest < 50


def test_entropy_keeps_an_even_spread_whole():
    values = np.random.default_rng(0).uniform(-1, 1, 200_000)

    found = find_range(histogram_of(values), options("entropy"))

    assert found.highest > 0.95


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
@pytest.mark.parametrize("values", [[0.0], [3.0], [-3.0], [1e-30, 2e-30]])
def test_every_method_takes_values_that_are_all_alike(method, values):
    found = find_range(histogram_of(values), options(method))

    assert found.lowest <= 0 <= found.highest
    assert found.lowest >= min([*values, 0]) - 1e-6
    assert found.highest <= max([*values, 0]) + 1e-6
