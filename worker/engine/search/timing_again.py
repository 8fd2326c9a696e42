"""The fastest points timed once more, where their first times are too close to tell them apart.

A search times each candidate for a moment only. The best of many such times is the luckiest one,
which is not yet the fastest model.
"""

from collections.abc import Sequence

from worker.engine.performance.latency import longest_seconds
from worker.engine.report.timings import SAME_SPEED
from worker.engine.search.choosing import keeps_limits
from worker.engine.search.point import Point
from worker.engine.search.study import Study
from worker.engine.spec import Goal

CONTENDERS = 3
SHARE_OF_BUDGET = 0.1
"""At most, for all contenders together."""


def seconds_to_keep(study: Study, baseline: Point) -> float:
    """Return the time to keep back for the contenders, none where latency is not the goal."""
    if study.goal.minimize == "size":
        return 0.0
    each = longest_seconds(2 * baseline.seconds_of_a_run)
    return min(CONTENDERS * each, SHARE_OF_BUDGET * study.budget.seconds)


def time_contenders(study: Study) -> None:
    """Time those points again, in turn with the original, as long as there is time for it."""
    found = contenders(study.goal, study.best)
    for number, point in enumerate(found):
        share = study.budget.left_seconds / (len(found) - number)
        if share > 0:
            study.time_again(point, share)


def contenders(goal: Goal, best: Sequence[Point]) -> list[Point]:
    """Return the points that may be the fastest, of those that may be chosen; none if it is clear.

    The original needs no timing, as it is its own measure.
    """
    if goal.minimize == "size":
        return []
    rivals = [point for point in best if keeps_limits(goal, point) == keeps_limits(goal, best[0])]
    rivals = [point for point in rivals if _bounds(point)[0] <= _bounds(best[0])[1]]
    if len(rivals) < 2:
        return []
    return [p for p in rivals if p.artifact is not None and not p.is_original][:CONTENDERS]


def _bounds(point: Point) -> tuple[float, float]:
    """Return between what the true ratio lies, sessions of one model taken for equal."""
    latency = point.measured.latency
    interval = None if latency is None else latency.ratio_interval
    if interval is None:
        return point.latency_ratio * (1 - SAME_SPEED), point.latency_ratio
    return interval.low * (1 - SAME_SPEED), interval.high
