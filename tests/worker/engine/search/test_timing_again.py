from types import SimpleNamespace

import pytest

from tests.worker.engine.search import conftest
from tests.worker.engine.search.conftest import make_point
from worker.engine.search.choosing import ranked
from worker.engine.search.timing_again import contenders, time_contenders
from worker.engine.spec import Gates, Goal

FASTEST = Goal(minimize="latency", within=Gates(max_accuracy_drop=0.01))


def timed(name, low, high, **options):
    return conftest.timed(name, low, high, limits=FASTEST.within, **options)


def names(points):
    return [point.proposal.name for point in points]


def test_those_that_may_be_as_fast_as_the_first_are_timed_again():
    best = [timed("first", 0.5, 0.6), timed("close", 0.55, 0.7), timed("far", 0.8, 0.9)]

    assert names(contenders(FASTEST, best)) == ["first", "close"]


def test_no_more_than_three_are():
    best = [timed(name, 0.5, 0.6) for name in "abcd"]

    assert names(contenders(FASTEST, best)) == ["a", "b", "c"]


def test_the_one_that_decides_which_others_are_as_fast_is_among_them():
    best = [*(timed(name, 0.5, 0.7) for name in "abc"), timed("fastest", 0.3, 0.6)]

    assert names(contenders(FASTEST, best)) == ["a", "fastest", "b"]


@pytest.mark.parametrize(
    "others",
    [
        [timed("far", 0.8, 0.9)],
        [timed("bad", 0.5, 0.6, drop=0.5)],
    ],
)
def test_where_the_fastest_is_clear_none_is(others):
    assert contenders(FASTEST, [timed("first", 0.5, 0.6), *others]) == []


def test_what_may_be_no_faster_than_the_original_is_timed_again():
    original = make_point("the original", limits=FASTEST.within)
    original.proposal.passes.clear()

    best = [timed("doubtful", 0.9, 1.02), original]

    assert names(contenders(FASTEST, best)) == ["doubtful"]


def test_the_smallest_file_needs_no_second_timing():
    best = [timed(name, 0.5, 0.6) for name in "ab"]

    assert contenders(Goal(minimize="size"), best) == []


class Timings:
    """A search whose points turn out to take what they are said to."""

    goal = FASTEST
    budget = SimpleNamespace(left_seconds=10.0)

    def __init__(self, points, true):
        self.points = points
        self.true = true
        self.asked = []

    @property
    def best(self):
        return ranked(self.goal, self.points)

    def time_again(self, point, _):
        self.asked.append(point.proposal.name)
        ratio = self.true[point.proposal.name]
        again = timed("again", ratio - 0.01, ratio + 0.01)
        point.measure_again(again.measured.latency, self.goal.within)


def test_what_comes_into_the_lead_meanwhile_is_timed_too():
    points = [
        timed("fastest", 0.3, 0.7, sqnr_db=10),
        timed("faithful", 0.46, 0.58, sqnr_db=30),
        timed("next", 0.36, 0.68, sqnr_db=20),
    ]
    study = Timings(points, {"faithful": 0.6, "fastest": 0.5, "next": 0.5})

    time_contenders(study)

    assert study.asked == ["faithful", "next", "fastest"]
    assert names(study.best) == ["next", "fastest", "faithful"]
