"""The whole of a compression: prepare, compress, verify, evaluate, measure, judge."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.engine.blame.blaming import find_blame
from worker.engine.candidate import Candidate, Folders, make_candidate
from worker.engine.errors import EngineError
from worker.engine.figures import Figures, measure_candidate
from worker.engine.gates import judge
from worker.engine.manifest import make_manifest
from worker.engine.measurements import Measurements
from worker.engine.original import Original, open_original
from worker.engine.pass_runner import private_folder
from worker.engine.progress import Progress
from worker.engine.report.blame import Blame
from worker.engine.report.frontier import Frontier
from worker.engine.report.report import Report
from worker.engine.report.spending import Spending
from worker.engine.requests import CompressedModel, CompressModel, ReportProgress
from worker.engine.runtime import provider_in_use, readable
from worker.engine.search.budget import Budget
from worker.engine.search.searching import search


@dataclass(frozen=True)
class Result:
    """What a job returns, measured; of a search, also what else it tried."""

    candidate: Candidate
    figures: Figures
    blame: Blame | None = None
    frontier: Frontier | None = None
    alternatives: Sequence[Path] = ()


def compress(request: CompressModel, report_progress: ReportProgress) -> CompressedModel:
    """Compress a model by its spec, prove the result, write it and return its report.

    Raises:
        EngineError: what failed and what to change; the artifact folder is then gone.
    """
    started = time.perf_counter()
    progress = Progress(report_progress)
    try:
        with private_folder(request.workdir / "pipeline") as folder:
            original = open_original(request, folder, progress)
            goal = request.spec.goal
            if goal is None:
                result = _apply_passes(original, folder, progress)
            else:
                budget = Budget(goal.budget_seconds, started)
                found = search(original, goal, folder / "search", budget, progress)
                result = Result(
                    found.candidate,
                    found.figures,
                    frontier=found.frontier,
                    alternatives=found.alternatives,
                )
            report = _report(original, result, progress)
    except EngineError:
        shutil.rmtree(request.artifact_folder, ignore_errors=True)
        raise
    return CompressedModel.model_validate(
        {
            "artifact_name": result.candidate.written.artifact.name,
            "alternatives": [path.name for path in result.alternatives],
            "report": report,
        }
    )


def _blame(
    original: Original, candidate: Candidate, folder: Path, progress: Progress
) -> Blame | None:
    """Return which nodes cost the answers; None where that cannot be found out.

    The result is proved by now: nothing that goes wrong here may take it away.
    """
    with progress.stage("blaming"):
        try:
            return find_blame(original, candidate, folder)
        except Exception as error:  # noqa: BLE001
            original.samples.warnings.append(
                f"the nodes that cost the answers could not be found: {readable(error)}"
            )
            return None


def _apply_passes(original: Original, folder: Path, progress: Progress) -> Result:
    """Return what the passes of the spec make."""
    request = original.request
    folders = Folders(request.artifact_folder, folder)
    candidate = make_candidate(original, request.spec.passes or [], folders, progress)
    figures = measure_candidate(original, candidate, progress)
    return Result(candidate, figures, _blame(original, candidate, folder, progress))


def _report(original: Original, result: Result, progress: Progress) -> Report:
    candidate, figures, frontier = result.candidate, result.figures, result.frontier
    written, comparison = candidate.written, candidate.comparison
    performance = figures.performance
    spending = progress.accounts.total()
    measured = _measurements(original, result, progress, spending)
    warnings = original.samples.warnings + candidate.warnings + figures.warnings
    gates = original.request.spec.gates if frontier is None else frontier.goal.within
    verdict = judge(gates, measured, warnings)
    if frontier is not None:
        summary = f"{frontier.conclusion} {verdict.summary}"
        verdict = verdict.model_copy(update={"summary": summary})
        frontier = frontier.model_copy(update={"is_met": verdict.passed})
    return Report(
        verdict=verdict,
        before=figures.before,
        after=figures.after,
        fidelity=comparison.fidelity,
        accuracy=comparison.accuracy,
        latency=figures.latency,
        loading=None if performance is None else performance.loading,
        kernels=None if performance is None else performance.kernels,
        peak_memory_bytes=spending.peak_memory_bytes,
        layers=figures.layers,
        blame=result.blame,
        passes=written.making.reports,
        skipped=written.making.skipped,
        preparation=written.prepared.notes + written.making.tidied.notes,
        frontier=frontier,
        durations_seconds=progress.accounts.durations_seconds,
        spending=spending,
        manifest=make_manifest(
            original.request,
            original.loaded.sha256,
            written.artifact,
            written.making.resolved,
            provider_in_use(written.pair.after),
        ),
    )


def _measurements(
    original: Original, result: Result, progress: Progress, spending: Spending
) -> Measurements:
    """Return all figures of the report, for gates to name."""
    candidate, figures, performance = result.candidate, result.figures, result.figures.performance
    return Measurements(
        before=figures.before,
        after=figures.after,
        fidelity=candidate.comparison.fidelity,
        accuracy=candidate.comparison.accuracy,
        latency=figures.latency,
        data=original.samples.evaluation.origin,
        others={
            "peak_memory_bytes": spending.peak_memory_bytes,
            "loading": performance and performance.loading,
            "kernels": performance and performance.kernels,
            "layers": figures.layers,
            "passes": candidate.written.making.reports,
            "durations_seconds": progress.accounts.durations_seconds,
            "spending": spending,
        },
    )
