from dataclasses import replace

import pytest

from tests.worker.engine.search.conftest import make_point, timed
from worker.engine.report.timings import RatioInterval
from worker.engine.search.choosing import (
    keeps_answers,
    misses_by_chance,
    pareto_optimal,
    ranked,
    violation,
)
from worker.engine.search.point import Proposal
from worker.engine.spec import Gates, Goal

LIMITS = Gates(max_accuracy_drop=0.01, max_latency_ratio=1.05)


def names(points):
    return [point.proposal.name for point in points]


@pytest.mark.parametrize(
    ("minimize", "order"),
    [
        ("size", ["small", "both", "fast"]),
        ("latency", ["fast", "both", "small"]),
        # Products of both ratios: 0.2 * 1.0, 0.4 * 0.45 and 0.7 * 0.4.
        ("balanced", ["both", "small", "fast"]),
    ],
)
def test_ranks_by_what_is_to_be_minimized(minimize, order):
    points = [
        make_point("small", size=200, latency=1.0),
        make_point("fast", size=700, latency=0.4),
        make_point("both", size=400, latency=0.45),
    ]

    assert names(ranked(Goal(minimize=minimize), points)) == order


def test_takes_the_smaller_of_two_that_are_equally_fast():
    points = [make_point("large", 900, latency=0.5), make_point("small", 300, latency=0.503)]

    assert names(ranked(Goal(minimize="latency"), points)) == ["small", "large"]


def test_takes_the_better_answers_of_those_that_may_be_as_fast_as_the_fastest():
    points = [
        timed("lucky", 0.50, 0.54, sqnr_db=9, size=100),
        timed("faithful", 0.52, 0.56, sqnr_db=30, size=900),
        timed("as faithful", 0.52, 0.56, sqnr_db=29.9, size=300),
        timed("slower", 0.60, 0.62, sqnr_db=60),
    ]

    order = ["as faithful", "faithful", "lucky", "slower"]
    assert names(ranked(Goal(minimize="latency"), points)) == order


def test_what_a_busy_machine_leaves_open_makes_no_slow_point_as_good():
    points = [timed("fast", 0.3, 0.9, sqnr_db=20), timed("slow", 0.5, 1.1, sqnr_db=60)]

    assert names(ranked(Goal(minimize="latency"), points)) == ["fast", "slow"]


def test_takes_what_is_smaller_rather_than_the_original_where_nothing_is_faster():
    original = replace(timed("", 1.0, 1.0, sqnr_db=200), proposal=Proposal("original", []))
    points = [original, timed("small", 0.97, 1.02, sqnr_db=30, size=300)]

    assert original.is_original
    assert names(ranked(Goal(minimize="latency"), points)) == ["small", "original"]


def test_takes_the_better_answers_of_those_that_may_be_as_well_balanced():
    points = [
        timed("lucky", 0.50, 0.54, sqnr_db=9, size=300),
        timed("faithful", 0.52, 0.56, sqnr_db=30, size=300),
        timed("larger", 0.53, 0.57, sqnr_db=60, size=400),
    ]

    assert names(ranked(Goal(minimize="balanced"), points)) == ["faithful", "lucky", "larger"]


def test_ranks_what_keeps_the_limits_before_what_does_not():
    goal = Goal(minimize="size", within=LIMITS)
    points = [
        make_point("bad", size=100, drop=0.05, limits=LIMITS),
        make_point("good", size=900, limits=LIMITS),
        make_point("close", size=200, drop=0.02, limits=LIMITS),
    ]

    assert names(ranked(goal, points)) == ["good", "close", "bad"]


def test_takes_the_better_answers_of_two_that_are_equally_small():
    points = [make_point("worse", 300, drop=0.02), make_point("better", 300, latency=1.1)]

    assert names(ranked(Goal(minimize="size"), points)) == ["better", "worse"]


def test_what_is_tried_anyway_needs_no_standard_error_to_spare():
    # The 7 times smaller one of a model that is nearly all one embedding: 0.006 of 0.01, give or
    # take 0.005.
    goal = Goal(minimize="size", within=LIMITS)
    large, small = (
        make_point(name, size, drop=drop, limits=LIMITS, standard_error=0.005)
        for name, size, drop in (("large", 250, 0.0), ("small", 141, 0.006))
    )
    usual = replace(small, proposal=replace(small.proposal, name="usual", is_tried_anyway=True))

    assert names(ranked(goal, [small, large])) == ["large", "small"]
    assert names(ranked(goal, [large, usual])) == ["usual", "large"]


def test_a_violation_is_the_sum_of_what_exceeds_each_limit():
    point = make_point("far", latency=2.1, drop=0.02, limits=LIMITS)

    # Twice the latency is one more than its limit, and so is twice the drop.
    assert violation(point) == pytest.approx(2.0)


def test_a_point_is_optimal_where_no_other_is_better_in_all():
    small, fast = make_point("small", 200), make_point("fast", 400, latency=0.5)
    exact, worse = make_point("exact", 400), make_point("worse", 500, drop=0.1)
    small.measured.accuracy[0].after = 0.85

    assert pareto_optimal([small, fast, exact, worse]) == [small, fast]


@pytest.mark.parametrize(
    ("limit", "interval", "is_by_chance"),
    [
        (None, RatioInterval(low=1.0, high=1.4, confidence=0.95), False),
        (1.3, RatioInterval(low=1.0, high=1.4, confidence=0.95), False),
        (1.1, RatioInterval(low=1.0, high=1.4, confidence=0.95), True),
        (1.1, RatioInterval(low=1.15, high=1.25, confidence=0.95), False),
        (1.1, None, True),
    ],
)
def test_a_limit_on_latency_may_be_missed_by_chance(limit, interval, is_by_chance):
    latency = make_point("slow", latency=1.2).measured.latency
    latency = latency.model_copy(update={"ratio_interval": interval})

    assert misses_by_chance(limit, latency) is is_by_chance


@pytest.mark.parametrize(
    ("options", "is_kept"),
    [
        ({"size": 900}, True),
        ({"latency": 2.0}, True),
        ({"drop": 0.02}, False),
    ],
)
def test_size_and_speed_say_nothing_of_the_answers(options, is_kept):
    limits = LIMITS.model_copy(update={"max_size_ratio": 0.4})
    point = make_point("p", limits=limits, **options)

    assert not point.meets_goal
    assert keeps_answers(Goal(minimize="size", within=limits), point) is is_kept


def test_a_busy_machine_leaves_a_limit_on_latency_open():
    certain = RatioInterval(low=1.15, high=1.25, confidence=0.95)
    latency = make_point("slow", latency=1.2).measured.latency
    busy = latency.model_copy(update={"ratio_interval": certain, "noisy": True})

    assert misses_by_chance(1.1, busy)
