import pytest

from tests.worker.engine.search.conftest import make_point
from worker.engine.report.timings import RatioInterval
from worker.engine.search.timing_again import contenders
from worker.engine.spec import Gates, Goal

FASTEST = Goal(minimize="latency", within=Gates(max_accuracy_drop=0.01))


def timed(name, low, high, **options):
    point = make_point(name, latency=(low + high) / 2, limits=FASTEST.within, **options)
    interval = RatioInterval(low=low, high=high, confidence=0.95)
    latency = point.measured.latency.model_copy(update={"ratio_interval": interval})
    point.measure_again(latency, FASTEST.within)
    return point


def names(points):
    return [point.proposal.name for point in points]


def test_those_that_may_be_as_fast_as_the_first_are_timed_again():
    best = [timed("first", 0.5, 0.6), timed("close", 0.55, 0.7), timed("far", 0.8, 0.9)]

    assert names(contenders(FASTEST, best)) == ["first", "close"]


def test_no_more_than_three_are():
    best = [timed(name, 0.5, 0.6) for name in "abcd"]

    assert names(contenders(FASTEST, best)) == ["a", "b", "c"]


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
