"""The report's part on blame, for one finished candidate."""

import time
from collections.abc import Sequence
from pathlib import Path

import onnx

from worker.engine.blame.effects import Budget
from worker.engine.blame.finding import Investigation, describe, investigate
from worker.engine.blame.judging import Judge
from worker.engine.blame.mending import Job, exchange, mend
from worker.engine.blame.pairing import ModelPair
from worker.engine.candidate import Candidate, pass_context
from worker.engine.model_files import tensor_bytes
from worker.engine.original import Original
from worker.engine.pass_runner import apply_passes
from worker.engine.passes.base import Pass
from worker.engine.progress import Progress
from worker.engine.report.blame import Blame, CurvePoint
from worker.engine.runtime import run

MAX_BYTES = 2**30
"""Of weights: a larger model would take more memory than the job may have."""
RUNS_OF_A_BUDGET = 20
"""A model that runs fewer times in the budget is too slow to be taken apart."""
LOOKING_SHARE = 0.3
"""Of the budget, for finding out what is wrong; the rest is for mending what stands out. Counted in
processor time, so that a busy machine finds the same."""
JUDGING_SHARE = 0.1
"""Of the budget, for all samples of what mends a result; slower models are judged by fewer."""
SAMPLES_SECONDS = 0.1
"""Of processor time, for a run of all samples: slower models are looked at on fewer."""
UNEXPLAINED_DB = 3.0


def find_blame(original: Original, candidate: Candidate, folder: Path) -> Blame | None:
    """Return which nodes cost the answers, and the change of the spec that mends it.

    None where the spec does not ask for it, where no node was compressed by itself, and for models
    so large or slow that it would take more than the job may.

    Raises:
        EngineError: the two models cannot be taken apart.
    """
    options = original.request.spec.evaluation.blame
    if options is None or _is_too_large(original):
        return None
    run_seconds = _seconds_of_a_run(original)
    if max(run_seconds, original.load_seconds) * RUNS_OF_A_BUDGET > options.budget_seconds:
        return None
    budget = Budget(options.budget_seconds)
    looking = Budget(LOOKING_SHARE * options.budget_seconds, time.process_time)
    written = candidate.written
    count = max(1, min(options.samples, int(SAMPLES_SECONDS / run_seconds)))
    most = max(count, int(JUDGING_SHARE * options.budget_seconds / run_seconds))
    judge = Judge(original, candidate, most, count)
    samples = judge.of_result.telling
    pair = ModelPair(written.prepared.model, written.loaded.model, written.making.tidied)
    found = investigate(pair, samples, folder / "blame", looking)
    if not found.effects:
        return None
    result_db = found.fidelity_of(written.loaded.model)
    nodes = describe(found, samples if looking.left > 0 else samples[:1])
    points = exchange(found, budget)
    judging_seconds = len(judge.samples) * run_seconds
    job = _job(original, candidate, folder / "blame", judge, judging_seconds)
    mending = mend(found, job, judge.of_result.sqnr_db, folder / "blame", budget)
    start = CurvePoint(nodes=0, kept=[], sqnr_db=result_db, is_rerun=True)
    return Blame(
        data=original.samples.evaluation.origin,
        samples=len(samples),
        sqnr_db=result_db,
        nodes=nodes,
        curve=[start, *points, *mending.curve],
        repair=mending.repair,
        notes=[*found.notes, *_unexplained(found, result_db)],
    )


def _is_too_large(original: Original) -> bool:
    """Return whether the model takes too much memory, or does not run where this would run it."""
    weights = original.loaded.model.graph.initializer
    return original.execution_provider != "cpu" or sum(map(tensor_bytes, weights)) > MAX_BYTES


def _seconds_of_a_run(original: Original) -> float:
    started = time.process_time()
    run(original.session, original.feeds)
    return max(time.process_time() - started, 1e-6)


def _unexplained(found: Investigation, result_db: float) -> list[str]:
    """Return a note where the nodes together do not lose what the result does."""
    names = {effect.segment.name for effect in found.effects}
    together = found.board.fidelity_db(names)
    if abs(together - result_db) < UNEXPLAINED_DB:
        return []
    note = (
        f"computed node by node the compressed nodes keep {together:.1f} dB, the result"
        f" {result_db:.1f} dB: its kernels round differently, as 8-bit products do that overflow"
        " on processors without VNNI (reduce_range)"
    )
    return [note]


def _job(
    original: Original, candidate: Candidate, folder: Path, judge: Judge, judging_seconds: float
) -> Job:
    """Return how to make the candidate again."""
    making = candidate.written.making

    def make(passes: Sequence[Pass]) -> onnx.ModelProto:
        prepared = original.prepared_for(passes)
        context = pass_context(original, folder, lambda _stage, _fraction: None)
        return apply_passes(prepared.model, passes, context, Progress(lambda *_: None)).model

    return Job(
        spec=original.request.spec,
        resolved=making.resolved,
        changed=[set(report.changed_nodes) for report in making.reports],
        seconds=sum(report.duration_seconds for report in making.reports) + judging_seconds,
        run=make,
        judge=judge.of,
    )
