"""The choice, measured as any job's result is: only what then keeps all limits is returned as such.

A search measures each candidate for a moment, and not what only a result's report has, such as
the time to load. So the point that leads may turn out to miss a limit, and another take its place.
"""

import time
from dataclasses import dataclass
from functools import partial
from math import inf

from worker.engine.candidate import Candidate
from worker.engine.figures import Figures, measure_candidate
from worker.engine.performance.latency import longest_seconds
from worker.engine.progress import Progress
from worker.engine.search.choosing import misses_by_chance
from worker.engine.search.point import Point, part_of
from worker.engine.search.study import Study

MOST_CONFIRMED = 3
"""Points that may turn out to miss a limit, before the original is all that is left to try."""
SHARE_FOR_TIMING = 0.5
"""Of the time that is left for the end; the rest goes to loading and profiling."""
FEWEST_PAIRS = 4


@dataclass(frozen=True)
class Confirmed:
    """The choice, its model loaded, and its figures as the job's report shows them."""

    point: Point
    candidate: Candidate
    figures: Figures


def confirm(study: Study, progress: Progress) -> Confirmed:
    """Measure the point that leads, then others as long as those miss a limit they had kept.

    Where all of them do, the original is returned if it keeps the limits, else the closest.
    """
    known: dict[Point, Figures] = {}
    while True:
        started = time.perf_counter()
        point = _leading(study, known)
        candidate = study.reopen(point)
        if point in known:
            return Confirmed(point, candidate, known[point])
        figures = _measured(study, candidate, progress)
        point.measure_again(figures.latency, study.goal.within, _others(figures, candidate))
        if point.meets_goal:
            return Confirmed(point, candidate, figures)
        known[point] = figures
        # What comes next takes about as long as this did.
        study.budget.reserve_seconds = time.perf_counter() - started


def seconds_to_confirm(study: Study, baseline: Point) -> float:
    """Return what confirming any point takes at the least: loading it, and a few timed runs."""
    return study.original.load_seconds + 2 * FEWEST_PAIRS * baseline.seconds_of_a_run


def _leading(study: Study, known: dict[Point, Figures]) -> Point:
    """Return the best point; once enough of them or the time are gone, the original or a known."""
    points = [point for point in study.best if point.artifact is not None]
    if known and (len(known) >= MOST_CONFIRMED or study.budget.left_seconds <= 0):
        points = [point for point in points if point in known or point.is_original]
    return points[0]


def _others(figures: Figures, candidate: Candidate) -> dict[str, object]:
    """Return the parts of the report that gates may name and only a result has."""
    performance = figures.performance
    return {
        "loading": performance and performance.loading,
        "kernels": performance and performance.kernels,
        "layers": figures.layers,
        "passes": candidate.written.making.reports,
    }


def _measured(study: Study, candidate: Candidate, progress: Progress) -> Figures:
    """Measure a candidate, and once more where only chance may have it miss the latency's limit.

    Once only: a test that is repeated until it says yes says nothing.
    """

    def measured() -> Figures:
        runs, left = _runs_left(study), partial(_seconds_left, study)
        return measure_candidate(study.original, candidate, progress, runs, left)

    figures = measured()
    limit, latency = study.goal.within.max_latency_ratio, figures.latency
    if latency is None or not misses_by_chance(limit, latency) or study.budget.left_seconds <= 0:
        return figures
    return measured()


def _seconds_left(study: Study) -> float:
    """Return the seconds for what only the report shows; for ever where a limit is on it."""
    parts = {part_of(limit.figure) for limit in study.goal.within.limits}
    return study.budget.seconds_to_end if parts.isdisjoint({"loading", "kernels"}) else inf


def _runs_left(study: Study) -> int | None:
    """Return how many pairs of runs the time allows; None where as many as are wanted."""
    original = next(point for point in study.points if point.is_original)
    pair_seconds = 2 * original.seconds_of_a_run
    seconds = SHARE_FOR_TIMING * study.budget.seconds_to_end
    if not pair_seconds or seconds >= longest_seconds(pair_seconds):
        return None
    return max(FEWEST_PAIRS, int(seconds / pair_seconds))
