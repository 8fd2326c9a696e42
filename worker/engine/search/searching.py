"""The search of a job with a goal: try, choose, measure the choice again, and tell all of it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from worker.engine.candidate import Candidate
from worker.engine.figures import Figures
from worker.engine.original import Original
from worker.engine.progress import Progress
from worker.engine.report.frontier import Frontier
from worker.engine.search.budget import Budget, BudgetSpentError
from worker.engine.search.candidates import search_candidates
from worker.engine.search.choosing import pareto_optimal
from worker.engine.search.confirming import confirm, seconds_to_confirm
from worker.engine.search.describing import describe_frontier
from worker.engine.search.good_enough import with_good_answers
from worker.engine.search.point import Point
from worker.engine.search.study import Study
from worker.engine.search.timing_again import seconds_to_keep, time_contenders
from worker.engine.spec import Goal

ALTERNATIVES = 2
SHARE_KEPT_BACK = 0.1
LARGEST_SHARE = 0.3
LONGEST_PAIRS = 50
"""Pairs of runs that measuring the choice takes, and a little for its weights."""


@dataclass(frozen=True)
class Found:
    """The choice, measured as the result of any job, and what else there was."""

    candidate: Candidate
    figures: Figures
    frontier: Frontier
    alternatives: list[Path]


def search(
    original: Original, goal: Goal, folder: Path, budget: Budget, progress: Progress
) -> Found:
    """Find what reaches a goal within a budget; the artifacts lie in the artifact folder.

    Raises:
        InvalidDatasetError: the model does not run on the evaluation samples, or they lack the
            labels that the goal needs.
        ResourceError: even the original does not fit the memory.
    """
    goal = with_good_answers(goal, original)
    with progress.stage("searching") as report_progress:
        study = Study(original, goal, folder, budget, report_progress)
        baseline = study.add_original()
        to_finish = _time_to_finish(baseline, budget)
        budget.reserve_seconds = seconds_to_confirm(study, baseline)
        study.reserve_once_found = to_finish + seconds_to_keep(study, baseline)
        ended = _try_all(study)
        budget.reserve_seconds = to_finish
        time_contenders(study)
    confirmed = confirm(study, progress)
    chosen, candidate = confirmed.point, confirmed.candidate
    others = _next_best(study, chosen)
    frontier = describe_frontier(study, [chosen, *others], ended)
    target = original.request.artifact_folder
    artifact = _place(candidate.written.artifact, target)
    alternatives = [
        _place(point.artifact, target / f"alternative_{number}")
        for number, point in enumerate(others, start=1)
        if point.artifact is not None
    ]
    candidate = replace(candidate, written=replace(candidate.written, artifact=artifact))
    return Found(candidate, confirmed.figures, frontier, alternatives)


def _try_all(study: Study) -> Literal["nothing left to try", "budget spent"]:
    try:
        search_candidates(study)
    except BudgetSpentError:
        return "budget spent"
    return "budget spent" if study.not_started else "nothing left to try"


def _time_to_finish(baseline: Point, budget: Budget) -> float:
    """Return the seconds to keep back for opening the choice and measuring it once more."""
    runs = 2 * LONGEST_PAIRS * baseline.seconds_of_a_run
    return min(LARGEST_SHARE * budget.seconds, SHARE_KEPT_BACK * budget.seconds + runs)


def _next_best(study: Study, chosen: Point) -> list[Point]:
    """Return the alternatives: points that are worth a choice first, then the next in rank."""
    others = [
        point
        for point in study.best
        if point is not chosen and point.artifact is not None and not point.is_original
    ]
    optimal = pareto_optimal(study.points)
    return sorted(others, key=lambda point: point not in optimal)[:ALTERNATIVES]


def _place(artifact: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(artifact, folder / artifact.name))
