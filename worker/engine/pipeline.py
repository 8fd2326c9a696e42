"""The whole of a compression: prepare, compress, verify, evaluate, measure, judge."""

import shutil

from worker.engine.candidate import Candidate, Folders, make_candidate
from worker.engine.errors import EngineError
from worker.engine.figures import Figures, measure_candidate
from worker.engine.gates import Measurements, judge
from worker.engine.manifest import make_manifest
from worker.engine.original import Original, open_original
from worker.engine.pass_runner import private_folder
from worker.engine.progress import Progress
from worker.engine.report.report import Report
from worker.engine.requests import CompressedModel, CompressModel, ReportProgress
from worker.engine.runtime import provider_in_use


def compress(request: CompressModel, report_progress: ReportProgress) -> CompressedModel:
    """Compress a model by its spec, prove the result, write it and return its report.

    Raises:
        EngineError: what failed and what to change; the artifact folder is then gone.
    """
    progress = Progress(report_progress)
    try:
        with private_folder(request.workdir / "pipeline") as folder:
            original = open_original(request, folder, progress)
            folders = Folders(request.artifact_folder, folder)
            candidate = make_candidate(original, request.spec.passes, folders, progress)
            figures = measure_candidate(original, candidate, progress)
            report = _report(original, candidate, figures, progress)
    except EngineError:
        shutil.rmtree(request.artifact_folder, ignore_errors=True)
        raise
    name = candidate.written.artifact.name
    return CompressedModel.model_validate({"artifact_name": name, "report": report})


def _report(
    original: Original, candidate: Candidate, figures: Figures, progress: Progress
) -> Report:
    written, comparison = candidate.written, candidate.comparison
    measured = Measurements(
        before=figures.before,
        after=figures.after,
        fidelity=comparison.fidelity,
        accuracy=comparison.accuracy,
        latency=figures.latency,
        data=original.samples.evaluation.origin,
    )
    spending = progress.accounts.total()
    warnings = original.samples.warnings + candidate.warnings + figures.warnings
    return Report(
        verdict=judge(original.request.spec.gates, measured, warnings),
        before=figures.before,
        after=figures.after,
        fidelity=comparison.fidelity,
        accuracy=comparison.accuracy,
        latency=figures.latency,
        peak_memory_bytes=spending.peak_memory_bytes,
        layers=figures.layers,
        passes=written.outcome.reports,
        skipped=written.outcome.skipped,
        preparation=written.prepared.notes + written.tidied.notes,
        durations_seconds=progress.accounts.durations_seconds,
        spending=spending,
        manifest=make_manifest(
            original.request,
            original.loaded.sha256,
            written.artifact,
            written.outcome.resolved,
            provider_in_use(written.pair.after),
        ),
    )
