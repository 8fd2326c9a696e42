"""Which point to choose: the best that keeps the limits."""

from collections.abc import Sequence

from worker.engine.pareto import pareto_front
from worker.engine.search.point import Point
from worker.engine.spec import Goal

LATENCY_NOISE = 0.02
"""Ratios of latencies closer than this are taken for equal."""


def violation(point: Point) -> float:
    """Return by how much a point misses its limits: the sum of the excesses over each limit."""
    excesses = [
        1.0
        if gate.measured is None
        else abs(gate.measured - gate.limit) / max(abs(gate.limit), 1e-2)
        for gate in point.missed
    ]
    return sum(excesses)


def ranked(goal: Goal, points: Sequence[Point]) -> list[Point]:
    """Return the points, the best first.

    First come those that keep all limits, by what is to be minimized, then the others by how
    little they miss. Of points that are as fast as the fastest, the smaller one is better.
    """
    fastest = min((point.latency_ratio for point in points if point.meets_goal), default=0.0)

    def key(point: Point) -> tuple[float, ...]:
        size, latency = point.size_ratio, point.latency_ratio
        if goal.minimize == "size":
            return violation(point), size, latency
        if goal.minimize == "balanced":
            return violation(point), size * latency, size
        if latency <= fastest * (1 + LATENCY_NOISE):
            return violation(point), fastest, size
        return violation(point), latency, size

    return sorted(points, key=key)


def pareto_optimal(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in size, latency and answers."""
    axes = [
        (point.size_bytes, round(point.latency_ratio / LATENCY_NOISE), point.loss)
        for point in points
    ]
    return [points[index] for index in pareto_front(axes)]
