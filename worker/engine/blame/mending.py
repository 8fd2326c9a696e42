"""The least change of a spec that mends a result, found by making it and measuring."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from worker.engine.blame.effects import Budget, Effect, culprits, is_extraordinary
from worker.engine.blame.finding import Investigation, investigate
from worker.engine.blame.judging import Judged
from worker.engine.blame.pairing import ModelPair, Pairing, Segment
from worker.engine.blame.remedies import Remedy, remedied
from worker.engine.errors import EngineError
from worker.engine.passes.base import Pass
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.report.blame import CurvePoint, Repair
from worker.engine.spec import Spec

MAX_ROUNDS = 3
LEAST_GAIN_DB = 1.0
MENDED_DB = 25.0
"""From here on only nodes are mended whose own error is out of the ordinary."""
SHORTFALL_DB = 6.0
"""What running the passes may fall behind of exchanging nodes in the result."""
CURVE_NODES = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Job:
    """What made the result, and can be run again.

    Args:
        spec: the user's own.
        resolved: its passes with every measured choice written out.
        changed: the names of the nodes that each pass changed.
        seconds: how long they and judging what they make take.
        run: makes the model of the given passes.
        judge: compares a model with the original.
    """

    spec: Spec
    resolved: Sequence[Pass]
    changed: Sequence[Collection[str]]
    seconds: float
    run: Callable[[Sequence[Pass]], onnx.ModelProto]
    judge: Callable[[onnx.ModelProto], Judged]


@dataclass
class Mending:
    """The points measured on the way, and the repair, where one was found."""

    curve: list[CurvePoint] = field(default_factory=list)
    repair: Repair | None = None


def exchange(found: Investigation, budget: Budget) -> list[CurvePoint]:
    """Return the fidelity with the worst nodes in float, one after another, in the result."""
    names = [effect.segment.name for effect in found.effects if effect.alone_db is not None]
    everything = {effect.segment.name for effect in found.effects}
    points: list[CurvePoint] = []
    before = 0
    for count in (count for count in CURVE_NODES if count < len(everything)):
        if budget.left <= 0 or count > len(names):
            break
        decibels = found.board.fidelity_db(everything - set(names[:count]))
        points.append(
            CurvePoint(nodes=count, kept=names[before:count], sqnr_db=decibels, is_rerun=False)
        )
        before = count
    return points


def mend(found: Investigation, job: Job, result_db: float, folder: Path, budget: Budget) -> Mending:
    """Leave out the nodes that stand out, run the passes again, and look what stands out then.

    `result_db` is what the job judges the result to be.
    """
    mending = Mending()
    target_db = max(MENDED_DB, job.spec.gates.min_sqnr_db or MENDED_DB)
    tried: dict[str, int] = {}
    best_db, current, is_short = result_db, found, False
    made: list[Pass] = []
    asked = job.spec.passes or []
    resolved = [_undecided(*each) for each in zip(job.resolved, asked, strict=True)]
    for number in range(MAX_ROUNDS):
        guilty = [n for e in _guilty(current, target_db) for n in _named(current, e.segment)]
        names = guilty or (_readers(found.pairing, tried) if is_short else [])
        if not names or budget.left < job.seconds:
            break
        tried = {**tried, **{name: tried.get(name, 0) + 1 for name in names}}
        remedy = remedied(asked, tried, job.changed)
        again = remedied(resolved, tried, job.changed)
        if remedy is None or again is None or again.passes == made:
            break
        made = again.passes
        try:
            model = job.run(again.passes)
            decibels = found.fidelity_of(model)
            mending.curve.append(
                CurvePoint(nodes=len(tried), kept=names, sqnr_db=decibels, is_rerun=True)
            )
            is_short = decibels < _exchanged(found, tried) - SHORTFALL_DB
            judged = job.judge(model)
            if judged.sqnr_db >= best_db + LEAST_GAIN_DB:
                best_db = judged.sqnr_db
                mending.repair = _repair(job.spec, remedy, judged)
            # What is mended may hide what is left on these samples: others tell more of it now.
            pair = ModelPair(found.pairing.pair.original, model)
            current = investigate(
                pair, judged.telling, folder / f"round_{number}", Budget(budget.left / 2)
            )
        except EngineError:
            break  # what was measured so far stands
    return mending


def _undecided(resolved: Pass, asked: Pass) -> Pass:
    """Return a resolved pass that decides anew whether to correct biases: a remedy changes that."""
    if isinstance(resolved, WeightQuantization) and isinstance(asked, WeightQuantization):
        return resolved.model_copy(update={"correct_biases": asked.correct_biases})
    return resolved


def _guilty(found: Investigation, target_db: float) -> list[Effect]:
    """Return the nodes to mend: those that stand out, until the answers are as good as they should.

    What is left then is mended only where its own error is out of the ordinary.
    """
    everything = {effect.segment.name for effect in found.effects}
    guilty: list[Effect] = []
    for effect in culprits(found.effects):
        left = everything - {each.segment.name for each in guilty}
        is_good = found.board.fidelity_db(left) >= target_db
        if is_good and not is_extraordinary(effect, found.effects):
            break
        guilty.append(effect)
    return guilty


def _exchanged(found: Investigation, names: Collection[str]) -> float:
    """Return the fidelity of the first result with the segments of these nodes in float."""
    kept = {
        e.segment.name for e in found.effects if {n.name for n in e.segment.before} & set(names)
    }
    return found.board.fidelity_db({e.segment.name for e in found.effects} - kept)


def _readers(pairing: Pairing, names: Collection[str]) -> list[str]:
    """Return the nodes with weights that read what these nodes give, over any others between.

    onnxruntime computes a float Conv or Gemm between integers in integers all the same, where its
    output is rounded next (core/optimizer/qdq_transformer/weight_bias_quantization.cc).
    """
    segments = {each.name: each for each in pairing.segments}
    values = {v for n in names if n in segments for v in segments[n].outputs}
    found: list[str] = []
    for segment in pairing.segments:
        if values.isdisjoint(pairing.inputs_of(segment)) or segment.name in names:
            continue
        if _with_weights(pairing, segment):
            found.append(segment.name)
        else:
            values.update(segment.outputs)
    return found


def _repair(spec: Spec, remedy: Remedy, judged: Judged) -> Repair:
    return Repair(
        spec=spec.model_copy(update={"passes": remedy.passes}),
        change=remedy.words,
        sqnr_db=judged.sqnr_db,
        samples=judged.count,
    )


def _named(found: Investigation, segment: Segment) -> list[str]:
    """Return the nodes of a segment that an option can name: those with weights, or its own."""
    return _with_weights(found.pairing, segment) or [segment.name]


def _with_weights(pairing: Pairing, segment: Segment) -> list[str]:
    weights = pairing.before.initializers
    return [
        node.name
        for node in segment.before
        if any(name in weights and len(weights[name].dims) > 1 for name in node.input)
    ]
