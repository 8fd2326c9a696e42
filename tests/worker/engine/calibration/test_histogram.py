import numpy as np
import pytest

from worker.engine.calibration.histogram import (
    MAXIMUM_BINS,
    MAXIMUM_COUNTED,
    Histogram,
    RunningRange,
)


@pytest.mark.parametrize("statistics", [RunningRange, Histogram])
def test_range_holds_all_values_seen(statistics):
    seen = statistics()

    seen.update(np.array([[1.5, -2.0]], np.float32))
    seen.update(np.array([0.5], np.float32))

    assert (seen.lowest, seen.highest) == (-2.0, 1.5)


@pytest.mark.parametrize("statistics", [RunningRange, Histogram])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_knows_of_a_value_that_was_not_finite(statistics, value):
    seen = statistics()
    seen.update(np.array([1.0], np.float32))
    assert seen.is_finite

    seen.update(np.array([2.0, value], np.float32))
    seen.update(np.array([3.0], np.float32))

    assert not seen.is_finite


def test_every_value_is_counted_in_the_bin_that_holds_it():
    histogram = Histogram()

    histogram.update(np.array([0.0, 1.0, 1.0, 4000.0], np.float32))

    assert histogram.width == 1.0
    assert histogram.first == 0
    assert histogram.counts[[0, 1, 4000]].tolist() == [1, 2, 1]
    assert histogram.counts.sum() == 4
    assert histogram.centers[1] == 1.5


def test_bins_double_when_a_value_lies_outside():
    histogram = Histogram()
    histogram.update(np.arange(4, dtype=np.float32) * 1000)

    histogram.update(np.array([-5000.0], np.float32))

    assert histogram.width == 2.0
    assert histogram.counts.sum() == 5
    assert histogram.counts[500 - histogram.first] == 1
    assert histogram.counts[-2500 - histogram.first] == 1


def test_result_does_not_depend_on_the_order_of_values():
    values = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    forward, backward = Histogram(), Histogram()

    for part in np.array_split(values, 20):
        forward.update(part)
    for part in reversed(np.array_split(values, 20)):
        backward.update(part)

    assert forward.width == backward.width
    assert forward.first == backward.first
    assert np.array_equal(forward.counts, backward.counts)


def test_bins_stay_bounded_while_the_range_grows():
    histogram = Histogram()

    for exponent in range(-20, 20):
        histogram.update(np.array([-(2.0**exponent), 2.0**exponent], np.float32))

    assert len(histogram.counts) <= MAXIMUM_BINS
    assert histogram.counts.sum() == 80


def test_constant_values_take_one_bin():
    histogram = Histogram()

    histogram.update(np.full(7, 3.25, np.float32))

    assert histogram.counts.tolist() == [7]
    assert histogram.lowest == histogram.highest == 3.25


def test_an_empty_array_changes_nothing():
    histogram = Histogram()

    histogram.update(np.zeros((0, 3), np.float32))

    assert not len(histogram.counts)


def test_a_large_array_is_counted_in_part_and_evenly_over_its_channels():
    values = np.zeros((4, 100, 100, 8), np.float32)
    values[..., 3] = 1.0
    values[0, 0, 0, 0] = 2.0
    histogram = Histogram()

    histogram.update(values)

    counted = histogram.counts.sum()
    ones = histogram.counts[round(1.0 / histogram.width) - histogram.first]
    assert MAXIMUM_COUNTED / 2 < counted <= MAXIMUM_COUNTED
    assert ones / counted == pytest.approx(1 / 8, rel=0.01)
    assert (histogram.highest, histogram.count) == (2.0, values.size)
