"""Which point to choose: the best that keeps the limits."""

from collections.abc import Sequence

from worker.engine.pareto import pareto_front
from worker.engine.report.quality import Score
from worker.engine.report.timings import SAME_SPEED, Latency
from worker.engine.search.good_enough import is_about_answers
from worker.engine.search.point import Point
from worker.engine.spec import Goal

NORMAL_95 = 1.96
LATENCY_NOISE = 0.02
"""Ratios of latencies closer than this are taken for equal on the Pareto front."""
TIED_WITHIN = 1.05
"""Points whose cost is higher than so many times the least are worse, whatever a busy machine's
timings leave open."""
SIZE_DIGITS = 3
"""Of ratios of sizes: of those that are equal so far, the one with better answers is better."""


def violation(point: Point) -> float:
    """Return by how much a point misses its limits: the sum of the excesses over each limit."""
    excesses = [
        1.0
        if gate.measured is None
        else abs(gate.measured - gate.limit) / max(abs(gate.limit), 1e-2)
        for gate in point.missed
    ]
    return sum(excesses)


def keeps_limits(goal: Goal, point: Point) -> bool:
    """Return whether a point keeps all limits, that on scores with a standard error to spare.

    Among many points that just keep a limit on some samples, the best is one that was lucky on
    them: what is asked for has to hold for the drop and its standard error together. Not so for
    what is tried anyway: the samples did not single it out, and its drop on them is as likely too
    large as too small.
    """
    return point.meets_goal and _has_scores_to_spare(goal, point)


def keeps_answers(goal: Goal, point: Point) -> bool:
    """Return whether a point keeps the limits on its answers so, whatever its size and speed.

    More bits cannot mend those two: a file that is too large needs fewer, and bits that are stored
    only change no speed.
    """
    is_kept = not any(is_about_answers(gate.gate) for gate in point.missed)
    return is_kept and _has_scores_to_spare(goal, point)


def misses_by_chance(limit: float | None, latency: Latency) -> bool:
    """Return whether a ratio is above a limit that its runs leave open, or a busy machine does."""
    if limit is None or latency.ratio <= limit:
        return False
    interval = latency.ratio_interval
    return latency.noisy or interval is None or interval.low <= limit


def _has_scores_to_spare(goal: Goal, point: Point) -> bool:
    limit = goal.within.max_accuracy_drop
    if limit is None or point.proposal.is_tried_anyway:
        return True
    return all(
        score.drop + _standard_error(score) <= limit
        for score in point.measured.accuracy
        if score.drop is not None
    )


def _standard_error(score: Score) -> float:
    """Return that of the drop, from its 95 % interval; 0 where there is none."""
    interval = score.drop_interval
    return 0.0 if interval is None else (interval.high - interval.low) / (2 * NORMAL_95)


def ranked(goal: Goal, points: Sequence[Point]) -> list[Point]:
    """Return the points, the best first.

    First come those that keep all limits with something to spare, then those that just keep them,
    each by what is to be minimized, then the others by how little they miss. Of points that may be
    the fastest, or the best in balance, as their timings overlap, the one with the better answers
    is better, then the smaller one; the original, which has the best answers and saves nothing,
    comes after them. So it is of those that are as small as each other.
    """
    tied = set(tied_for_best(goal, [point for point in points if keeps_limits(goal, point)]))

    def key(point: Point) -> tuple[float, ...]:
        size, latency = point.size_ratio, point.latency_ratio
        group = (violation(point), float(not keeps_limits(goal, point)))
        if goal.minimize == "size":
            return *group, round(size, SIZE_DIGITS), point.loss, latency, size
        if point in tied:
            fidelity = -round(point.fidelity_db)
            return *group, 0.0, float(point.is_original), fidelity, point.loss, size, latency
        return *group, 1.0, cost(goal, point), size

    return sorted(points, key=key)


def tied_for_best(goal: Goal, points: Sequence[Point]) -> list[Point]:
    """Return the points that are taken for as good as the best by their timings."""
    near = TIED_WITHIN * min((cost(goal, point) for point in points), default=0.0)
    return [point for point in may_be_best(goal, points) if cost(goal, point) <= near]


def may_be_best(goal: Goal, points: Sequence[Point]) -> list[Point]:
    """Return the points that may be the best by what their timings leave open."""
    bounds = [_bounds(goal, point) for point in points]
    least = min((high for _, high in bounds), default=0.0)
    return [point for point, (low, _) in zip(points, bounds, strict=True) if low <= least]


def cost(goal: Goal, point: Point) -> float:
    """Return what a goal minimizes: the ratio of sizes, that of latencies, or their product."""
    size = 1.0 if goal.minimize == "latency" else point.size_ratio
    return size if goal.minimize == "size" else size * point.latency_ratio


def _bounds(goal: Goal, point: Point) -> tuple[float, float]:
    """Return between what the true cost lies, sessions of one model taken for equally fast."""
    latency, middle = point.measured.latency, cost(goal, point)
    if latency is None or goal.minimize == "size":
        return middle, middle
    if latency.ratio_interval is None:
        return middle * (1 - SAME_SPEED), middle
    low, high = latency.ratio_interval.low, latency.ratio_interval.high
    return middle * low / latency.ratio * (1 - SAME_SPEED), middle * high / latency.ratio


def pareto_optimal(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in size, latency and answers."""
    axes = [
        (point.size_bytes, round(point.latency_ratio / LATENCY_NOISE), point.loss)
        for point in points
    ]
    return [points[index] for index in pareto_front(axes)]
