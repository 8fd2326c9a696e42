from dataclasses import replace

import pytest

from tests.worker.engine.search.conftest import make_point
from worker.engine.search.describing import why_not_chosen
from worker.engine.search.point import Proposal
from worker.engine.spec import Gates, Goal

LIMITS = Gates(max_accuracy_drop=0.01)
GOAL = Goal(minimize="size", within=LIMITS)


def uncertain(drop):
    """A point whose drop has a standard error of 0.01."""
    return make_point("p", drop=drop, limits=LIMITS, standard_error=0.01)


@pytest.mark.parametrize(
    ("point", "is_optimal", "reason"),
    [
        (uncertain(0.02), True, "misses max_accuracy_drop"),
        (uncertain(0.005), True, "not with a standard error to spare"),
        (uncertain(-0.01), False, "another point is at least as good"),
        (uncertain(-0.01), True, "others come closer to the goal"),
    ],
)
def test_says_what_speaks_against_a_point(point, is_optimal, reason):
    assert reason in why_not_chosen(GOAL, point, is_optimal=is_optimal, is_tied=False)


def test_says_that_timings_do_not_tell_a_point_from_the_choice():
    goal = Goal(minimize="latency", within=LIMITS)

    reason = why_not_chosen(goal, uncertain(-0.01), is_optimal=True, is_tied=True)

    assert reason.startswith("not evidently faster than the choice")


def test_says_no_untruth_of_the_original_that_ties_with_the_choice():
    original = replace(uncertain(0.0), proposal=Proposal("the original", []), gates=[])

    reason = why_not_chosen(Goal(minimize="latency"), original, is_optimal=True, is_tied=True)

    assert reason == "not evidently faster than the choice, which is a compressed one"
