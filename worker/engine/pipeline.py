"""The whole of a compression: prepare, compress, verify, evaluate, measure, judge."""

import shutil
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from worker.engine.accuracy import Scorer
from worker.engine.blame import ModelPair, describe_blame
from worker.engine.datasets.job_samples import JobSamples, choose_samples
from worker.engine.datasets.splitting import first
from worker.engine.errors import EngineError
from worker.engine.evaluation import Comparison, choose_scorers, compare
from worker.engine.gates import Measurements, judge
from worker.engine.inspection import describe
from worker.engine.latency import compare_latency
from worker.engine.layers import layer_errors
from worker.engine.manifest import make_manifest
from worker.engine.measures import measure, peak_memory_bytes
from worker.engine.model_io import LoadedModel, load, save
from worker.engine.pass_runner import PassesOutcome, apply_passes, private_folder
from worker.engine.passes.base import PassContext
from worker.engine.preparation.prepare import Prepared, prepare
from worker.engine.progress import Progress
from worker.engine.report.contents import LayerError, ModelMeasures
from worker.engine.report.report import Report
from worker.engine.report.timings import Latency
from worker.engine.requests import CompressedModel, CompressModel, ModelInfo, ReportProgress
from worker.engine.ruin import faint_warnings, find_ruin, ruin_error, sigmoid_outputs
from worker.engine.runtime import ExecutionProvider, Session, open_session, provider_in_use
from worker.engine.tidying import Tidied, tidy
from worker.engine.timing import LoadedPair
from worker.engine.verification import open_result, verify_file

LATENCY_FEEDS = 4
SLOWER_RATIO = 1.05
"""Below this, a difference in latency is noise."""


@dataclass(frozen=True)
class Original:
    """The upload as it came, which every figure compares with; `prepared` is what passes get."""

    loaded: LoadedModel
    info: ModelInfo
    session: Session
    load_seconds: float
    samples: JobSamples
    scorers: list[Scorer]
    prepared: Prepared


@dataclass(frozen=True)
class Result:
    """The compressed model, read back from its file and compared with the original."""

    artifact: Path
    loaded: LoadedModel
    pair: LoadedPair
    outcome: PassesOutcome
    tidied: Tidied
    comparison: Comparison


@dataclass(frozen=True)
class Figures:
    """What was measured of both models."""

    before: ModelMeasures
    after: ModelMeasures
    layers: list[LayerError]
    latency: Latency | None
    warnings: list[str]


def compress(request: CompressModel, report_progress: ReportProgress) -> CompressedModel:
    """Compress a model by its spec, prove the result, write it and return its report.

    Raises:
        EngineError: what failed and what to change; the artifact folder is then gone.
    """
    progress = Progress(report_progress)
    try:
        with private_folder(request.workdir / "pipeline") as folder:
            original = _prepare(request, folder, progress)
            result = _compress(request, original, folder, progress)
            figures = _measure(request, original, result, progress)
            report = _report(request, original, result, figures, progress)
    except EngineError:
        shutil.rmtree(request.artifact_folder, ignore_errors=True)
        raise
    return CompressedModel.model_validate({"artifact_name": result.artifact.name, "report": report})


def _prepare(request: CompressModel, folder: Path, progress: Progress) -> Original:
    """Load and prepare the model, and make sure that it runs on the samples."""
    spec = request.spec
    with progress.stage("preparing") as report_progress:
        loaded = load(request.model_path, folder / "original", request.limits)
        info = describe(loaded.model, loaded.size_bytes)
        started = time.perf_counter()
        session = open_session(
            loaded.path, threads=_threads(request), execution_provider=_provider(request)
        )
        load_seconds = time.perf_counter() - started
        report_progress(0.3)
        samples = choose_samples(request, info.inputs, session, loaded.model)
        sample = first(samples.evaluation, 1)[0]
        scorers, warnings = choose_scorers(session, sample, spec.evaluation)
        samples.warnings.extend(warnings)
        report_progress(0.6)
        opset = max(step.required_opset() for step in spec.passes)
        prepared = prepare(loaded.model, opset, sample.feeds)
    return Original(loaded, info, session, load_seconds, samples, scorers, prepared)


def _compress(
    request: CompressModel, original: Original, folder: Path, progress: Progress
) -> Result:
    """Apply the passes, write the artifact, read it back and compare it."""
    spec = request.spec
    with progress.stage("compressing"):
        context = PassContext(
            workdir=folder,
            samples=original.samples.calibration,
            report_progress=progress.of_pass(0, 1),
            seed=spec.seed,
            execution_provider=_provider(request),
        )
        outcome = apply_passes(original.prepared.model, spec.passes, context, progress)
    with progress.stage("verifying"):
        request.artifact_folder.mkdir(parents=True, exist_ok=True)
        tidied = tidy(outcome.model, keep_names=spec.keep_names)
        artifact = save(outcome.model, request.artifact_folder)
        loaded = verify_file(artifact, folder / "result")
        started = time.perf_counter()
        session = open_result(loaded.path, original.session, _threads(request), _provider(request))
        pair = LoadedPair(
            original.session, session, original.load_seconds, time.perf_counter() - started
        )
    with progress.stage("evaluating") as report_progress:
        comparison = compare(
            pair.before, pair.after, original.samples.evaluation, original.scorers, report_progress
        )
        result = Result(artifact, loaded, pair, outcome, tidied, comparison)
        _refuse_ruin(request, original, result, folder / "blame")
    return result


def _refuse_ruin(request: CompressModel, original: Original, result: Result, folder: Path) -> None:
    """Refuse a result with a ruined output, naming the nodes that lost it; warn of faint ones."""
    limit_db = request.spec.evaluation.ruin_below_sqnr_db
    fidelity = result.comparison.fidelity
    if limit_db is None:
        return
    sigmoids = sigmoid_outputs(original.loaded.model)
    ruins = find_ruin(fidelity, limit_db, sigmoids)
    if ruins:
        sample = next(islice(original.samples.evaluation, ruins[0].sample, None))
        pair = ModelPair(original.prepared.model, result.loaded.model, result.tidied)
        blame = describe_blame(pair, sample.feeds, folder)
        raise ruin_error(ruins, fidelity, limit_db, blame)
    original.samples.warnings.extend(faint_warnings(fidelity, limit_db, sigmoids))


def _measure(
    request: CompressModel, original: Original, result: Result, progress: Progress
) -> Figures:
    """Measure both models' files, weights and latency."""
    options = request.spec.evaluation.latency
    with progress.stage("measuring") as report_progress:
        feeds = [sample.feeds for sample in first(original.samples.evaluation, LATENCY_FEEDS)]
        before = measure(original.loaded.model, original.loaded.files, feeds[0])
        after = measure(result.loaded.model, result.loaded.files, feeds[0])
        layers = layer_errors(original.prepared.model, result.loaded.model, result.tidied)
        latency: Latency | None = None
        warnings: list[str] = []
        if options is not None:
            latency, warnings = compare_latency(
                result.pair, feeds, original.info.inputs, options, report_progress
            )
    return Figures(before, after, layers, latency, warnings + _regrets(before, after, latency))


def _report(
    request: CompressModel,
    original: Original,
    result: Result,
    figures: Figures,
    progress: Progress,
) -> Report:
    measured = Measurements(
        before=figures.before,
        after=figures.after,
        fidelity=result.comparison.fidelity,
        accuracy=result.comparison.accuracy,
        latency=figures.latency,
        data=original.samples.evaluation.origin,
    )
    return Report(
        verdict=judge(request.spec.gates, measured, original.samples.warnings + figures.warnings),
        before=figures.before,
        after=figures.after,
        fidelity=result.comparison.fidelity,
        accuracy=result.comparison.accuracy,
        latency=figures.latency,
        peak_memory_bytes=peak_memory_bytes(),
        layers=figures.layers,
        passes=result.outcome.reports,
        skipped=result.outcome.skipped,
        preparation=original.prepared.notes + result.tidied.notes,
        durations_seconds=progress.durations_seconds,
        manifest=make_manifest(
            request,
            original.loaded.sha256,
            result.artifact,
            result.outcome.resolved,
            provider_in_use(result.pair.after),
        ),
    )


def _regrets(before: ModelMeasures, after: ModelMeasures, latency: Latency | None) -> list[str]:
    """Return warnings about a result that is larger or slower than the original."""
    regrets = []
    if after.size_bytes >= before.size_bytes:
        regrets.append(
            f"the compressed model is not smaller: {after.size_bytes} bytes instead of"
            f" {before.size_bytes}"
        )
    if latency is not None and latency.ratio > SLOWER_RATIO:
        regrets.append(
            f"the compressed model is slower: {latency.ratio:.2f} times the original's latency on"
            " this processor"
        )
    return regrets


def _threads(request: CompressModel) -> int:
    options = request.spec.evaluation.latency
    return 1 if options is None else options.threads


def _provider(request: CompressModel) -> ExecutionProvider:
    return request.spec.execution_provider or request.default_execution_provider
