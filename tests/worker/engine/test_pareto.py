import math

import pytest

from worker.engine.pareto import pareto_front


def test_leaves_out_what_another_point_beats():
    small_slow, large_fast, middle, beaten = (1, 9), (9, 1), (4, 4), (5, 4)

    assert pareto_front([small_slow, beaten, large_fast, middle]) == [0, 2, 3]


def test_a_point_that_is_equal_on_one_axis_and_worse_on_another_is_beaten():
    assert pareto_front([(1, 2), (1, 3)]) == [0]


def test_equal_points_are_on_the_front_together():
    assert pareto_front([(1, 2), (3, 3), (1, 2)]) == [0, 2]


def test_the_best_of_any_axis_is_on_the_front():
    points = [(3, 1, 2), (2, 3, 1), (1, 2, 3), (3, 3, 3)]

    assert pareto_front(points) == [0, 1, 2]


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_was_not_measured_wins_nothing(unknown):
    assert pareto_front([(1, 5), (1, unknown)]) == [0]
    assert pareto_front([(2, 5), (1, unknown)]) == [0, 1]


def test_an_axis_that_nobody_measured_does_not_count():
    assert pareto_front([(2, None), (1, None)]) == [1]


def test_one_point_is_a_front_and_none_is_an_empty_one():
    assert pareto_front([(None, None)]) == [0]
    assert pareto_front([]) == []


def test_points_of_different_length_are_a_mistake():
    with pytest.raises(ValueError, match="longer"):
        pareto_front([(1, 2), (1,)])
