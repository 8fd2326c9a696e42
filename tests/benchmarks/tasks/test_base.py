from benchmarks.tasks.base import half


def test_halves_share_nothing_and_miss_nothing():
    items = range(7)

    assert half(items, "evaluation") == [0, 2, 4, 6]
    assert half(items, "held_out") == [1, 3, 5]
    assert half(items, "whole") == [*items]
