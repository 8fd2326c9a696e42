"""The fastest points timed once more, where their first times are too close to tell them apart.

A search times each candidate for a moment only. The best of many such times is the luckiest one,
which is not yet the fastest model.
"""

from collections.abc import Sequence

from worker.engine.performance.latency import longest_seconds
from worker.engine.search.choosing import cost, keeps_limits, may_be_best
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
    """Time those points again, in turn with the original, as long as there is time for it.

    What the first of them turn out to be may leave others in the lead.
    """
    timed: list[Point] = []
    for number in range(CONTENDERS):
        waiting = [point for point in contenders(study.goal, study.best) if point not in timed]
        share = study.budget.left_seconds / min(len(waiting) or 1, CONTENDERS - number)
        if not waiting or share <= 0:
            return
        study.time_again(waiting[0], share)
        timed.append(waiting[0])


def contenders(goal: Goal, best: Sequence[Point]) -> list[Point]:
    """Return the points that may be the best, of those that may be chosen; none if it is clear.

    First come the one that would be chosen and the one with the best figure, on which it depends
    which others are as good. The original needs no timing, as it is its own measure.
    """
    if goal.minimize == "size":
        return []
    rivals = [point for point in best if keeps_limits(goal, point) == keeps_limits(goal, best[0])]
    rivals = may_be_best(goal, rivals)
    if len(rivals) < 2:
        return []
    likeliest = min(rivals, key=lambda point: cost(goal, point))
    found = dict.fromkeys([rivals[0], likeliest, *rivals])
    return [p for p in found if p.artifact is not None and not p.is_original][:CONTENDERS]
