"""One candidate: what a list of passes makes of a model, proved to load and compared with it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from worker.engine.blame.naming import describe_blame
from worker.engine.blame.pairing import ModelPair
from worker.engine.cache import Cache
from worker.engine.evaluation import Comparison, compare
from worker.engine.model_io import LoadedModel, save
from worker.engine.original import Original
from worker.engine.pass_runner import apply_passes
from worker.engine.passes.base import Pass, PassContext, SkippedNode
from worker.engine.preparation.prepare import Prepared
from worker.engine.progress import Progress
from worker.engine.report.contents import PassReport
from worker.engine.ruin import find_ruin, ruin_error, sigmoid_outputs, unjudged_warnings
from worker.engine.tidying import Tidied, tidy
from worker.engine.timing import LoadedPair
from worker.engine.verification import open_result, verify_file


@dataclass(frozen=True)
class Folders:
    """Where a candidate goes, and where files are put that only its making needs."""

    artifact: Path
    work: Path


@dataclass(frozen=True)
class Making:
    """How a compressed model was made, without the model itself."""

    passes: Sequence[Pass]
    resolved: list[Pass] = field(default_factory=list)
    """The passes with their measured choices written out."""
    reports: list[PassReport] = field(default_factory=list)
    skipped: list[SkippedNode] = field(default_factory=list)
    tidied: Tidied = field(default_factory=Tidied)


@dataclass(frozen=True)
class Written:
    """A compressed model on disk, read back from there."""

    making: Making
    artifact: Path
    loaded: LoadedModel
    pair: LoadedPair
    prepared: Prepared


@dataclass(frozen=True)
class Candidate:
    """A compressed model, compared with the original."""

    written: Written
    comparison: Comparison
    warnings: list[str] = field(default_factory=list)
    """What a user should know about its answers."""


def make_candidate(
    original: Original, passes: Sequence[Pass], folders: Folders, progress: Progress
) -> Candidate:
    """Compress by these passes into the artifact folder, and compare the result.

    Both folders stay for the caller to remove.

    Raises:
        EngineError: a pass cannot do what was asked, or the result is unusable.
    """
    written = write_candidate(original, passes, folders, progress)
    return compare_candidate(original, written, folders.work, progress)


def pass_context(
    original: Original, folder: Path, report_progress: Callable[[str, float], None]
) -> PassContext:
    """Return what the passes of a job may use."""
    return PassContext(
        workdir=folder,
        samples=original.samples.calibration,
        report_progress=report_progress,
        seed=original.request.spec.seed,
        execution_provider=original.execution_provider,
        cache=Cache(original.cache_folder),
    )


def write_candidate(
    original: Original, passes: Sequence[Pass], folders: Folders, progress: Progress
) -> Written:
    """Apply the passes, write the artifact and read it back."""
    with progress.stage("compressing"):
        prepared = original.prepared_for(passes)
        context = pass_context(original, folders.work, progress.of_pass(0, 1))
        outcome = apply_passes(prepared.model, passes, context, progress)
    with progress.stage("verifying"):
        folders.artifact.mkdir(parents=True, exist_ok=True)
        tidied = tidy(outcome.model, keep_names=original.request.spec.keep_names)
        artifact = save(outcome.model, folders.artifact)
        making = Making(passes, outcome.resolved, outcome.reports, outcome.skipped, tidied)
        del outcome
        return open_written(original, making, artifact, folders.work)


def open_written(original: Original, making: Making, artifact: Path, folder: Path) -> Written:
    """Load an artifact from its file, with every check, beside the original.

    Raises:
        VerificationError: it does not load, or has other inputs or outputs.
    """
    loaded = verify_file(artifact, folder / "result")
    started = time.perf_counter()
    session = open_result(
        loaded.path, original.session, original.threads, original.execution_provider
    )
    load_seconds = time.perf_counter() - started
    pair = LoadedPair(original.session, session, original.load_seconds, load_seconds)
    return Written(making, artifact, loaded, pair, original.prepared_for(making.passes))


def compare_candidate(
    original: Original, written: Written, folder: Path, progress: Progress
) -> Candidate:
    """Run both models on the evaluation samples.

    Raises:
        VerificationError: the compressed model does not run, or its answers are ruined.
    """
    with progress.stage("evaluating") as report_progress:
        comparison = compare(
            written.pair.before,
            written.pair.after,
            original.samples.evaluation,
            original.scoring,
            report_progress,
        )
        warnings = _judge_answers(original, written, comparison, folder)
    return Candidate(written, comparison, comparison.warnings + warnings)


def _judge_answers(
    original: Original, written: Written, comparison: Comparison, folder: Path
) -> list[str]:
    """Refuse a result with a ruined output, naming the nodes that lost it; warn of faint ones."""
    limit_db = original.request.spec.evaluation.ruin_below_sqnr_db
    fidelity = comparison.fidelity
    if limit_db is None:
        return []
    sigmoids = sigmoid_outputs(original.loaded.model)
    ruins = find_ruin(fidelity, limit_db, sigmoids)
    if ruins:
        sample = next(islice(original.samples.evaluation, ruins[0].sample, None))
        pair = ModelPair(written.prepared.model, written.loaded.model, written.making.tidied)
        blame = describe_blame(pair, sample.feeds, folder / "blame")
        raise ruin_error(ruins, fidelity, limit_db, blame)
    return unjudged_warnings(fidelity, limit_db, sigmoids)
