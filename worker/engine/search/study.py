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
from worker.engine.figures import LATENCY_FEEDS, measures_of
from worker.engine.manifest import file_sha256
from worker.engine.measurements import Measurements
from worker.engine.original import Original
from worker.engine.performance.latency import compare_latency, longest_seconds
from worker.engine.report.timings import Latency
from worker.engine.search.budget import (
    Budget,
    BudgetSpentError,
    NotStartedError,
    SearchProgress,
)
from worker.engine.search.choosing import misses_by_chance, pareto_optimal, ranked
from worker.engine.search.expecting import Expectations
from worker.engine.search.original_point import (
    NAME,
    compare_original,
    open_original_artifact,
    write_original,
)
from worker.engine.search.point import Attempt, Point, Proposal, judge_gates
from worker.engine.spec import Goal, LatencyOptions

TIMING_SHARE = 0.02
"""Of the budget, for the timed runs of one candidate."""
DOUBTFUL_SHARE = 0.05
"""The same where it may be by chance that a candidate misses the limit on latency."""
FEWEST_PAIRS, MOST_PAIRS, MOST_PAIRS_IN_DOUBT = 5, 40, 200
PAIRS_OF_ORIGINAL = 2
"""Of the original beside itself, which only tell how long its runs take."""
RUINED = "ruined_result"
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
        self.reserve_once_found = 0.0
        """Seconds to keep back for the end as soon as there is a result to measure well."""
        self._folder = folder
        self._report_progress = report_progress
        self._feeds = [s.feeds for s in first(original.samples.evaluation, LATENCY_FEEDS)]
        self._pair_seconds = 0.0
        self._expectations = Expectations(original)

    @property
    def points(self) -> list[Point]:
        """What was made and measured, in order."""
        return [each for each in self.tried if isinstance(each, Point)]

    @property
    def not_started(self) -> list[Attempt]:
        """What there was no time for."""
        return [each for each in self.tried if isinstance(each, Attempt) and not each.is_started]

    @property
    def best(self) -> list[Point]:
        """The points, the best first."""
        return ranked(self.goal, self.points)

    def add_original(self) -> Point:
        """Take in the original itself, which every candidate has to beat."""
        started = time.perf_counter()
        written = write_original(self.original, self._folders())
        candidate = compare_original(self.original, written)
        seconds = time.perf_counter() - started
        point = self._keep(Proposal(NAME, ()), candidate, started)
        self._pair_seconds = 2 * point.seconds_of_a_run
        self._expectations.start_from(seconds, point.seconds_of_a_run)
        return point

    def try_(self, proposal: Proposal) -> Point | None:
        """Make a candidate and return its point, None where there is none.

        Raises:
            BudgetSpentError: the time is up.
            NotStartedError: it would be, before the candidate is measured.
            InvalidDatasetError: the data are at fault, for any candidate.
        """
        self._refuse_to_start(proposal)
        started = time.perf_counter()
        folders = self._folders()
        try:
            point = self._made(proposal, folders, started)
        except EngineError as error:
            is_ruined = error.code == RUINED
            self._give_up(proposal, str(error), started, is_ruined=is_ruined)
            self._expectations.note(proposal, time.perf_counter() - started)
            if isinstance(error, BudgetSpentError | InvalidDatasetError):
                raise
            return None
        finally:
            shutil.rmtree(folders.work, ignore_errors=True)
            self._remove_dominated()
        return point

    def time_again(self, point: Point, seconds: float) -> None:
        """Time a point once more for so long, where that makes its latency more certain."""
        options, latency = self.original.request.spec.evaluation.latency, point.measured.latency
        if options is None or latency is None:
            return
        pair_seconds = latency.before.p50_seconds + latency.after.p50_seconds
        runs = None
        if seconds < longest_seconds(pair_seconds):
            runs = int(seconds / pair_seconds)
            if runs <= len(latency.before.samples_seconds):
                return
        written = self.reopen(point).written
        point.measure_again(self._compared(written, options, runs), self.goal.within)

    def leave_out(self, proposal: Proposal, reason: str) -> None:
        """Take down what there is no time for, and why."""
        self.tried.append(Attempt(proposal, f"not started: {reason}", 0.0, is_started=False))

    def least_seconds(self, proposal: Proposal) -> float:
        """Return what a candidate takes at the least."""
        return self._expectations.seconds_of(proposal)

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
            return Candidate(written, point.comparison, point.warnings)
        work = self._folder / "reopened"
        shutil.rmtree(work, ignore_errors=True)
        written = open_written(self.original, point.making, point.artifact, work)
        return Candidate(written, point.comparison, point.warnings)

    def _folders(self) -> Folders:
        number = len(self.tried)
        folders = Folders(self._folder / f"artifact_{number}", self._folder / f"work_{number}")
        folders.work.mkdir(parents=True)
        return folders

    def _made(self, proposal: Proposal, folders: Folders, started: float) -> Point:
        """Make and measure a candidate; what gives the same file as another is that other."""
        progress = self.progress()
        written = write_candidate(self.original, proposal.passes, folders, progress)
        equal = self._find_equal(written)
        if equal is not None:
            self._give_up(proposal, f"the same file as {equal.proposal.name}", started)
            return equal
        candidate = compare_candidate(self.original, written, folders.work, progress)
        point = self._keep(proposal, candidate, started)
        self._expectations.note(proposal, point.duration_seconds)
        return point

    def _keep(self, proposal: Proposal, candidate: Candidate, started: float) -> Point:
        """Measure a candidate and keep its point, also where that is the last of the time."""
        written, comparison = candidate.written, candidate.comparison
        measured = Measurements(
            before=self.original.measures,
            after=measures_of(self.original, written),
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
        if not point.is_original:
            reserve = max(self.budget.reserve_seconds, self.reserve_once_found)
            self.budget.reserve_seconds = reserve
        return point

    def _latency(self, written: Written) -> Latency | None:
        """Return the times of as many runs as a small share of the budget allows."""
        options = self.original.request.spec.evaluation.latency
        if options is None:
            return None
        if not written.making.passes:
            return self._compared(written, options, PAIRS_OF_ORIGINAL)
        seconds = TIMING_SHARE * self.budget.seconds
        runs = int(seconds / self._pair_seconds) if self._pair_seconds else FEWEST_PAIRS
        latency = self._compared(written, options, max(FEWEST_PAIRS, min(runs, MOST_PAIRS)))
        if misses_by_chance(self.goal.within.max_latency_ratio, latency):
            runs = int(DOUBTFUL_SHARE * self.budget.seconds / self._pair_seconds)
            if runs > len(latency.before.samples_seconds):
                return self._compared(written, options, min(runs, MOST_PAIRS_IN_DOUBT))
        return latency

    def _compared(self, written: Written, options: LatencyOptions, runs: int | None) -> Latency:
        wanted = options.model_copy(update={"runs": runs})
        inputs = self.original.info.inputs
        latency, _ = compare_latency(written.pair, self._feeds, inputs, wanted, lambda _: None)
        return latency if written.making.passes else latency.of_one_model()

    def _refuse_to_start(self, proposal: Proposal) -> None:
        """Raise where a candidate evidently takes longer than what is left of the time."""
        left, seconds = self.budget.left_seconds, self.least_seconds(proposal)
        if not 0 < left < seconds:
            return
        reason = f"it takes about {seconds:.3g} s, and {left:.3g} s were left"
        self.leave_out(proposal, reason)
        raise NotStartedError(reason)

    def _find_equal(self, written: Written) -> Point | None:
        sha256 = file_sha256(written.artifact)
        return next((point for point in self.points if point.sha256 == sha256), None)

    def _give_up(
        self, proposal: Proposal, reason: str, started: float, *, is_ruined: bool = False
    ) -> None:
        seconds = time.perf_counter() - started
        self.tried.append(Attempt(proposal, reason, seconds, is_ruined=is_ruined))

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
