import numpy as np
import pytest

from worker.engine.scoring.base import SumScored
from worker.engine.scoring.intervals import intervals_of, paired_intervals, resample_count


def hits(*values):
    rows = np.stack([values, np.ones(len(values))], axis=1)
    return SumScored(rows, lambda sums: sums[0] / sums[1])


def test_covers_the_score_as_its_standard_error_says():
    random = np.random.default_rng(3)
    scored = hits(*(random.random(400) < 0.8))
    mean = scored.score(np.ones(400))

    intervals = paired_intervals(scored, scored, seed=0)

    # the normal approximation of a share: 1.96 standard errors to each side
    error = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert intervals.before.low == pytest.approx(mean - error, abs=0.006)
    assert intervals.before.high == pytest.approx(mean + error, abs=0.006)


def test_what_both_models_miss_does_not_widen_their_difference():
    before = hits(*[1, 0] * 50)

    intervals = paired_intervals(before, before, seed=0)

    assert intervals.before.high - intervals.before.low > 0.1
    assert (intervals.difference.low, intervals.difference.high) == (0, 0)


def test_one_sample_more_or_less_is_chance_and_twenty_are_not():
    before = hits(*[1] * 100)
    one = paired_intervals(before, hits(*[0] * 1, *[1] * 99), seed=0).difference
    twenty = paired_intervals(before, hits(*[0] * 20, *[1] * 80), seed=0).difference

    assert one.low < 0 <= one.high
    assert twenty.low < -0.2 < twenty.high < 0


def test_the_same_seed_gives_the_same_interval():
    scored = hits(1, 0, 1, 1, 0, 1)

    assert paired_intervals(scored, scored, 5) == paired_intervals(scored, scored, 5)


def test_one_sample_has_no_interval():
    assert paired_intervals(hits(1), hits(0), seed=0) is None
    assert intervals_of(np.ones((1, 2)), [lambda sums: float(sums[0])], seed=0) == [None]


def test_resamples_less_where_each_costs_more():
    assert (resample_count(10), resample_count(10**6), resample_count(10**9)) == (1000, 100, 100)


def test_draws_on_which_a_score_is_undefined_are_left_out():
    scored = hits(1, 1, 0, 1)
    scored.score = lambda weights: float("nan") if weights[0] == 0 else 0.5

    assert paired_intervals(scored, scored, seed=0).before.low == 0.5
