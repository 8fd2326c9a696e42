"""Trying proposals: each is made, compared and measured, and kept as a point or given up."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.engine.candidate import (
    Candidate,
    Folders,
    Written,
    compare_candidate,
    open_written,
    write_candidate,
)
from worker.engine.datasets.splitting import first
from worker.engine.errors import EngineError, InvalidDatasetError
from worker.engine.figures import LATENCY_FEEDS
from worker.engine.manifest import file_sha256
from worker.engine.measurements import Measurements
from worker.engine.measures import measure
from worker.engine.original import Original
from worker.engine.performance.latency import compare_latency
from worker.engine.progress import Progress
from worker.engine.report.timings import Latency
from worker.engine.search.budget import Budget, BudgetSpentError, SearchProgress
from worker.engine.search.choosing import pareto_optimal, ranked
from worker.engine.search.original_point import (
    NAME,
    compare_original,
    open_original_artifact,
    write_original,
)
from worker.engine.search.point import Attempt, Point, Proposal, judge_gates
from worker.engine.spec import Goal

TIMING_SHARE = 0.02
"""Of the budget, for the timed runs of one candidate."""
FEWEST_PAIRS, MOST_PAIRS = 5, 40
KEPT = 3
"""The choice and the next two."""


class Study:
    """The candidates of one search, made one at a time; files of those that count stay on disk."""

    def __init__(
        self,
        original: Original,
        goal: Goal,
        folder: Path,
        budget: Budget,
        report_progress: Callable[[float], None],
    ) -> None:
        self.original = original
        self.goal = goal
        self.budget = budget
        self.tried: list[Point | Attempt] = []
        self._folder = folder
        self._report_progress = report_progress
        self._feeds = [s.feeds for s in first(original.samples.evaluation, LATENCY_FEEDS)]
        self._pair_seconds = 0.0

    @property
    def points(self) -> list[Point]:
        """What was made and measured, in order."""
        return [each for each in self.tried if isinstance(each, Point)]

    @property
    def best(self) -> list[Point]:
        """The points, the best first."""
        return ranked(self.goal, self.points)

    def add_original(self) -> Point:
        """Take in the original itself, which every candidate has to beat."""
        started = time.perf_counter()
        written = write_original(self.original, self._folders())
        candidate = compare_original(self.original, written)
        point = self._keep(Proposal(NAME, ()), candidate, Progress(lambda *_: None), started)
        self._pair_seconds = 2 * point.seconds_of_a_run
        return point

    def try_(self, proposal: Proposal) -> Point | None:
        """Make a candidate and return its point, None where there is none.

        Raises:
            BudgetSpentError: the time is up.
            InvalidDatasetError: the data are at fault, for any candidate.
        """
        started = time.perf_counter()
        folders = self._folders()
        progress = self.progress()
        try:
            written = write_candidate(self.original, proposal.passes, folders, progress)
            equal = self._find_equal(written)
            if equal is not None:
                self._give_up(proposal, f"the same file as {equal.proposal.name}", started)
                return equal
            candidate = compare_candidate(self.original, written, folders.work, progress)
            return self._keep(proposal, candidate, progress, started)
        except EngineError as error:
            self._give_up(proposal, str(error), started)
            if isinstance(error, BudgetSpentError | InvalidDatasetError):
                raise
            return None
        finally:
            shutil.rmtree(folders.work, ignore_errors=True)
            self._remove_dominated()

    def progress(self) -> SearchProgress:
        """Return what work for this search reports to, and is ended by."""
        return SearchProgress(self.budget, self._report_progress)

    @contextmanager
    def work_folder(self) -> Iterator[Path]:
        """Make a folder for what lies between candidates."""
        folder = self._folder / "between"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def reopen(self, point: Point) -> Candidate:
        """Load a point's model again.

        Raises:
            ValueError: its file was removed.
        """
        if point.artifact is None:
            raise ValueError(f"the file of {point.proposal.name} was removed")
        if point.is_original:
            written = open_original_artifact(self.original, point.artifact)
            return Candidate(written, point.comparison)
        work = self._folder / "reopened"
        shutil.rmtree(work, ignore_errors=True)
        written = open_written(self.original, point.making, point.artifact, work)
        return Candidate(written, point.comparison, point.warnings)

    def _folders(self) -> Folders:
        number = len(self.tried)
        folders = Folders(self._folder / f"artifact_{number}", self._folder / f"work_{number}")
        folders.work.mkdir(parents=True)
        return folders

    def _keep(
        self, proposal: Proposal, candidate: Candidate, progress: Progress, started: float
    ) -> Point:
        """Measure a candidate and keep its point."""
        written, comparison = candidate.written, candidate.comparison
        with progress.stage("measuring"):
            measured = Measurements(
                before=self.original.measures,
                after=measure(written.loaded.model, written.loaded.files, self.original.feeds),
                fidelity=comparison.fidelity,
                accuracy=comparison.accuracy,
                latency=self._latency(written),
                data=self.original.samples.evaluation.origin,
            )
        point = Point(
            proposal=proposal,
            making=written.making,
            artifact=written.artifact,
            sha256=file_sha256(written.artifact),
            comparison=comparison,
            measured=measured,
            gates=judge_gates(self.goal.within, measured),
            warnings=candidate.warnings,
            duration_seconds=time.perf_counter() - started,
        )
        self.tried.append(point)
        return point

    def _latency(self, written: Written) -> Latency | None:
        """Return the times of as many runs as a small share of the budget allows."""
        options = self.original.request.spec.evaluation.latency
        if options is None:
            return None
        seconds = TIMING_SHARE * self.budget.seconds
        runs = int(seconds / self._pair_seconds) if self._pair_seconds else FEWEST_PAIRS
        few = options.model_copy(update={"runs": max(FEWEST_PAIRS, min(runs, MOST_PAIRS))})
        inputs = self.original.info.inputs
        latency, _ = compare_latency(written.pair, self._feeds, inputs, few, lambda _: None)
        return latency

    def _find_equal(self, written: Written) -> Point | None:
        sha256 = file_sha256(written.artifact)
        return next((point for point in self.points if point.sha256 == sha256), None)

    def _give_up(self, proposal: Proposal, reason: str, started: float) -> None:
        self.tried.append(Attempt(proposal, reason, time.perf_counter() - started))

    def _remove_dominated(self) -> None:
        """Remove the files that no choice can need any more."""
        compressed = [point for point in self.best if not point.is_original]
        originals = [point for point in self.points if point.is_original]
        needed = [*originals, *pareto_optimal(self.points), *compressed[:KEPT]]
        kept = {point.artifact.parent for point in needed if point.artifact is not None}
        for point in self.points:
            if point.artifact is not None and point.artifact.parent not in kept:
                point.artifact = None
        for folder in self._folder.glob("artifact_*"):
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)
