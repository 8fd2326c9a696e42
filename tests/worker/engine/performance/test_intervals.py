import numpy as np
import pytest

from worker.engine.performance.intervals import median_interval


def test_six_values_are_enclosed_by_their_extremes():
    interval = median_interval([3.0, 1.0, 6.0, 2.0, 5.0, 4.0])

    assert (interval.low, interval.high) == (1.0, 6.0)
    # missed only where all six lie on one side of the median: 2 of 2**6 ways
    assert interval.confidence == 1 - 2 / 64


def test_ten_values_leave_their_extremes_out():
    interval = median_interval(range(10))

    assert (interval.low, interval.high) == (1.0, 8.0)
    # fewer than two on one side: 2 (1 + 10) of 2**10 ways
    assert interval.confidence == 1 - 22 / 1024


def test_few_values_say_how_little_they_tell():
    assert median_interval([1.0, 2.0]).confidence == 0.5
    assert median_interval([1.0]) is None


def test_holds_the_median_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [median_interval(random.exponential(size=30)) for _ in range(2000)]

    held = np.mean([interval.holds(np.log(2)) for interval in intervals])

    # 0.957 by the formula; 2000 draws are within 3 standard errors of 0.0045
    assert intervals[0].confidence == pytest.approx(0.957, abs=0.001)
    assert held == pytest.approx(0.957, abs=0.014)
