import numpy as np
import pytest

from worker.engine.agreement import MAX_RANKED_VALUES, DecisionSums


def compared(*samples, threshold=None, seed=None):
    sums = DecisionSums(threshold)
    for pair in samples:
        sums.add(*(np.array(answer, np.float32) for answer in pair), 1.0, 0.0)
    return sums.result(seed)


def test_counts_equal_choices():
    found = compared(([[1, 2], [3, 0]], [[1, 3], [0, 3]]))

    assert found.argmax_agreement == 0.5


def test_answers_of_another_shape_agree_in_nothing():
    found = compared(([[1.0, 2.0]], [[1.0, 2.0, 3.0]]), threshold=0.5)

    assert (found.argmax_agreement, found.flips) == (0, 1)


def test_counts_the_answers_that_flip_at_a_threshold():
    found = compared(([0.9, 0.6, 0.1, 0.2], [0.8, 0.4, 0.1, 0.7]), threshold=0.5)

    # the second and the fourth of four; one yes in common of three
    assert (found.flips, found.yes_overlap) == (0.5, pytest.approx(1 / 3))


def test_without_a_threshold_nothing_flips():
    found = compared(([0.9], [0.1]))

    assert (found.flips, found.yes_overlap) == (None, None)


def test_without_any_yes_there_is_no_overlap():
    assert compared(([0.1], [0.2]), threshold=0.5).yes_overlap is None


def test_correlates_the_order_inside_each_sample():
    found = compared(([1, 2, 3], [1, 2, 3]), ([1, 2, 3], [2, 1, 3]))

    # 1, and 1 - 6 (1 + 1) / (3 · 8)
    assert found.rank_correlation == pytest.approx((1 + 0.5) / 2)


def test_correlates_single_values_over_the_samples():
    found = compared(([[1]], [[2]]), ([[2]], [[1]]), ([[3]], [[3]]))

    assert found.rank_correlation == pytest.approx(0.5)


def test_constant_answers_have_no_order():
    assert compared(([1, 1, 1], [1, 2, 3])).rank_correlation is None


def test_large_answers_are_ranked_at_evenly_spaced_places():
    before = np.arange(10 * MAX_RANKED_VALUES)

    assert compared((before, before)).rank_correlation == pytest.approx(1)


def test_a_seed_gives_intervals():
    samples = [([[0, 1.0]], [[0, 1.0]])] * 30 + [([[0, 1.0]], [[1.0, 0]])] * 10

    found = compared(*samples, seed=0)

    # 1.96 standard errors of a share of 0.75 of 40
    error = 1.96 * np.sqrt(0.75 * 0.25 / 40)
    assert found.argmax_interval.low == pytest.approx(0.75 - error, abs=0.03)
    assert found.argmax_interval.high == pytest.approx(0.75 + error, abs=0.03)
    assert compared(*samples).argmax_interval is None


def test_equal_answers_have_no_interval_of_their_sqnr():
    assert compared(([1, 2], [1, 2]), ([1, 2], [1, 2]), seed=0).sqnr_interval is None
