"""The report of a search: its points, and in words what was found and what stood in the way."""

from collections.abc import Sequence
from typing import Literal

from worker.engine.decibels import EQUAL_DB
from worker.engine.report.frontier import Frontier, FrontierPoint, Role
from worker.engine.report.numbers import counted
from worker.engine.search.choosing import cost, keeps_limits, pareto_optimal, tied_for_best
from worker.engine.search.point import Attempt, Point
from worker.engine.search.study import Study
from worker.engine.spec import Goal, Spec

ROLES: tuple[Role, ...] = ("chosen", "alternative_1", "alternative_2")
OBJECTIVES = {
    "size": "smaller",
    "latency": "faster",
    "balanced": "smaller or faster in balance",
}


def describe_frontier(
    study: Study,
    kept: Sequence[Point],
    ended: Literal["nothing left to try", "budget spent"],
) -> Frontier:
    """Return what the report says; of the kept points the first is the choice."""
    roles = dict(zip(kept, ROLES, strict=False))
    optimal = set(pareto_optimal(study.points))
    rivals = [point for point in study.points if keeps_limits(study.goal, point)]
    tied = tied_for_best(study.goal, rivals)
    spec = study.original.request.spec.with_gates(study.goal.within)
    points = []
    for tried in study.tried:
        if isinstance(tried, Attempt):
            points.append(_describe_attempt(tried))
            continue
        point = _describe_point(tried, spec)
        point.role = roles.get(tried)
        point.is_pareto_optimal = tried in optimal
        if point.role != "chosen":
            is_tied = tried in tied and kept[0] in tied
            point.dropped = why_not_chosen(
                study.goal, tried, is_optimal=point.is_pareto_optimal, is_tied=is_tied
            )
        points.append(point)
    return Frontier(
        goal=study.goal,
        is_met=kept[0].meets_goal,
        conclusion=_conclusion(study, kept[0]),
        points=points,
        ended=ended,
        spent_seconds=study.budget.spent_seconds,
    )


def _describe_attempt(attempt: Attempt) -> FrontierPoint:
    return FrontierPoint(
        name=attempt.proposal.name,
        spec=None,
        dropped=attempt.dropped,
        duration_seconds=attempt.duration_seconds,
    )


def _describe_point(point: Point, spec: Spec) -> FrontierPoint:
    sqnr = point.worst_sqnr_db
    return FrontierPoint(
        name=point.proposal.name,
        spec=None if point.is_original else spec.with_passes(point.making.resolved),
        size_bytes=point.size_bytes,
        size_ratio=point.size_ratio,
        latency_ratio=None if point.measured.latency is None else point.latency_ratio,
        worst_sqnr_db=None if sqnr == EQUAL_DB else sqnr,
        scores=[] if point.is_original else list(point.comparison.accuracy),
        meets_goal=point.meets_goal,
        missed=[f"{gate.gate}: {gate.detail}" for gate in point.missed],
        duration_seconds=point.duration_seconds,
    )


def why_not_chosen(goal: Goal, point: Point, *, is_optimal: bool, is_tied: bool) -> str:
    """Return what speaks against a point that another was chosen over.

    `is_tied`: their timings do not tell which of the two is better.
    """
    if not point.meets_goal:
        return f"misses {', '.join(gate.gate for gate in point.missed)}"
    if not keeps_limits(goal, point):
        return "keeps max_accuracy_drop on these samples, but not with a standard error to spare"
    if not is_optimal:
        return "another point is at least as good in size, latency and answers"
    if is_tied and goal.minimize != "size":
        better = "whose answers are closer or as close in a smaller file"
        if point.is_original:
            better = "which is a compressed one"
        return f"not evidently {OBJECTIVES[goal.minimize]} than the choice, {better}"
    return "others come closer to the goal"


def _conclusion(study: Study, chosen: Point) -> str:
    """Return what was found in one sentence."""
    made, left_out = len(study.points) - 1, len(study.not_started)
    tried = len(study.tried) - 1 - left_out
    late = ""
    if left_out:
        late = f" ({left_out} more {_were(left_out)} not started for want of time)"
    candidates = counted(tried, "candidate")
    count = f"{candidates} {_were(tried)} tried and {made} could be measured{late}"
    if chosen.is_original and chosen.meets_goal:
        if not study.tried[1:]:
            return (
                f"Nothing was tried: {_why_nothing_was_tried(study)}. This is the original model."
            )
        why = _why_nothing_pays(study)
        return f"Compression does not pay here: {count}, and {why}. This is the original model."
    if chosen.meets_goal:
        of = counted(made, "measured candidate")
        return f"Chosen of {of}{late}: {chosen.proposal.name}."
    ways = ", ".join(f"{gate.gate} ({gate.detail})" for gate in chosen.missed)
    return (
        f"The goal was missed: {count}, and none keeps all limits; {chosen.proposal.name} comes"
        f" closest. In the way stood {ways}.{_missed_by_original(study, chosen)}"
    )


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _why_nothing_was_tried(study: Study) -> str:
    if study.original.samples.calibration.origin == "dataset":
        return "no method that the goal allows has anything to try"
    return (
        "without data the methods that the goal allows cannot be judged; give calibration data, or"
        " allow weight_quantization, dynamic_quantization or float16"
    )


def _missed_by_original(study: Study, chosen: Point) -> str:
    """Return which of the limits in the way no compression is to blame for."""
    missed = {gate.gate for gate in chosen.missed}
    own = [g.gate for p in study.points if p.is_original for g in p.missed if g.gate in missed]
    if not own or chosen.is_original:
        return ""
    return f" The original misses {', '.join(dict.fromkeys(own))} too."


def _why_nothing_pays(study: Study) -> str:
    """Return why the original is the best of all, in words."""
    others = [point for point in study.points if not point.is_original]
    if not others:
        reasons = [tried.dropped for tried in study.tried if isinstance(tried, Attempt)]
        return f"the first was given up: {reasons[0]}"
    missing = sorted({gate.gate for point in others for gate in point.missed})
    if any(cost(study.goal, point) < 1 for point in others if keeps_limits(study.goal, point)):
        return "none of those that were measured as a result is keeps the limits"
    if any(point.meets_goal for point in others):
        return f"none that keeps the limits is {OBJECTIVES[study.goal.minimize]}"
    return f"each misses {' or '.join(missing)}"
