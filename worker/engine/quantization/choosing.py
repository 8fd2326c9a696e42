"""Chooses the nodes to compute in integers, by what this processor and the samples say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.fallback import Costs, accurate, decibels, integer_nodes
from worker.engine.quantization.fragile_weights import fragile_weights
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.integer_edges import ModelTimes, model_times, rounded_edges
from worker.engine.quantization.kernel_times import kernel_times
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.rounding_switches import RoundingSwitches
from worker.engine.quantization.static_writer import StaticWriter
from worker.engine.runtime import open_session
from worker.engine.samples import Feeds
from worker.engine.timing import LoadedPair, time_in_turn
from worker.engine.weights.remaining import RemainingWeights

TIMED_SAMPLES = 1
TIMED_PAIRS = 9
SEARCHED_SAMPLES = 1
"""Samples that a search for the roundings that hurt runs; what it finds is checked on all."""
LEAST_ROOM = 2.0
"""How many times the error of storing weights alone all may be, where that is beyond the target."""
NOT_FUSED = "onnxruntime would compute it in float between integers"
NO_FASTER = "it would be no faster in integers on this processor"
TOO_FRAGILE = "rounding it would move the answers too far"


@dataclass(frozen=True)
class Question:
    """How near the answers have to stay.

    Args:
        writer: makes the model with nodes in integers.
        remaining: the weights that are stored where their nodes stay in float.
        errors: what the float model answers, to measure with.
        allowed: the largest error of the answers.
    """

    writer: StaticWriter
    remaining: RemainingWeights
    errors: AnswerErrors
    allowed: float


@dataclass
class Choice:
    """The nodes to compute in integers, why others are not, and what was measured.

    `halves` are the weights to store in 16 bits where their nodes stay in float.
    """

    chosen: set[str]
    halves: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_all_float(self, reason: str) -> None:
        """Choose nothing instead, for one reason."""
        self.reasons |= dict.fromkeys(sorted(self.chosen), reason)
        self.notes.append(f"{len(self.chosen)} nodes stay in float after all: {reason}")
        self.chosen = set()


def untimed_costs(writer: StaticWriter, choice: Choice) -> Costs:
    """Return the costs of the nodes where speed does not matter."""
    return _costs(writer.write(choice.chosen).placement, GraphView(writer.model.graph))


def leave_slow_nodes(
    writer: StaticWriter, samples: Sequence[Feeds], choice: Choice, workdir: Path
) -> Costs:
    """Take out the nodes that integers make no faster; return what was timed."""
    nodes = set(choice.chosen)
    costs = _timed(writer, samples[:TIMED_SAMPLES], choice, workdir)
    choice.chosen = integer_nodes(costs)
    times = costs.times or {}
    choice.reasons |= {
        name: NO_FASTER if times[name].is_fused else NOT_FUSED
        for name in sorted(nodes - choice.chosen)
    }
    return costs


def keep_answers(question: Question, costs: Costs, choice: Choice) -> None:
    """Store weights in 16 bits and take out nodes, where 8 bits move the answers too far."""
    more = fragile_weights(
        question.writer.model, question.remaining, question.errors, question.allowed
    )
    choice.halves |= more
    if more:
        choice.notes.append(f"weights that 8 bits are too few for, stored in 16: {len(more)}")
    if choice.chosen:
        _leave_fragile_nodes(question, costs, choice)


def _leave_fragile_nodes(question: Question, costs: Costs, choice: Choice) -> None:
    """Take out the nodes whose rounding hurts, until the error is allowed."""

    def error(model: onnx.ModelProto) -> float:
        return question.errors.of_model(question.remaining.round(model, choice.halves))

    writer = question.writer
    fast = writer.write(choice.chosen)
    switches = RoundingSwitches(writer.model, fast, question.errors.first(SEARCHED_SAMPLES))
    before = error(fast.model)
    if before <= question.allowed:
        choice.notes.append(f"answers on held back samples: {decibels(before):.1f} dB")
        return
    least = error(_copy(writer.model))
    allowed = max(question.allowed, LEAST_ROOM * least)
    found = _costs(fast.placement, GraphView(writer.model.graph), costs)
    shares = switches.shares(allowed)
    # Large errors do not add up: what was found is scaled to what all of them make together.
    excess = sum(shares.values()) / max(before - least, before / 2)
    known = replace(found, errors={name: share / excess for name, share in shares.items()})
    kept, after = accurate(known, allowed, lambda names: error(writer.write(names).model), least)
    fragile = sorted(choice.chosen - kept)
    choice.reasons |= dict.fromkeys(fragile, TOO_FRAGILE)
    choice.chosen = kept
    choice.notes.append(
        f"answers on held back samples: {decibels(before):.1f} dB with all of the faster nodes in"
        f" integers, {decibels(after):.1f} dB without {len(fragile)} of them,"
        f" {decibels(least):.1f} dB with none"
    )


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _costs(placement: Placement, view: GraphView, known: Costs | None = None) -> Costs:
    """Return the costs of a placement, with the times of another that holds its nodes."""
    edges = rounded_edges(placement, view)
    weights = {weighted.node.name: weighted.weight for weighted in placement.weighted}
    if known is None or known.times is None:
        return Costs(edges, weights, None, dict.fromkeys(edges, 0.0))
    times = {name: known.times[name] for name in weights}
    moving = {name: known.moving_seconds.get(name, 0.0) for name in edges}
    return Costs(edges, weights, times, moving)


def _timed(writer: StaticWriter, feeds: Sequence[Feeds], choice: Choice, workdir: Path) -> Costs:
    """Return the costs with the times of both forms of the model."""
    view, everything = GraphView(writer.model.graph), writer.write(choice.chosen)
    costs = _costs(everything.placement, view)
    in_float = kernel_times(writer.model, feeds, workdir)
    in_integers = kernel_times(everything.model, feeds, workdir)
    times = model_times(everything.placement, view, in_float, in_integers)
    moving = _moving_seconds(costs, writer.counts, times, in_float.moving + in_integers.moving)
    fused = sum(each.is_fused for each in times.nodes.values())
    choice.notes.append(
        f"all in integers, {fused} of {len(times.nodes)} nodes with weights are integer kernels, "
        f"{_milliseconds(in_integers.total)} a run instead of {_milliseconds(in_float.total)}, "
        f"{_milliseconds(in_integers.moving)} of it between floats and integers"
    )
    return Costs(costs.edges, costs.weights, times.nodes, moving)


def _moving_seconds(
    costs: Costs, counts: Mapping[str, float], times: ModelTimes, moving_in_both: float
) -> dict[str, float]:
    """Return what it costs to round or restore each edge's values, by their number.

    Where float nodes surround nodes with weights, onnxruntime rearranges values for either form,
    and fuses less for integers; elsewhere it rearranges only between the two forms.
    """
    borders = {e.name for e in costs.edges.values() if e.producer is None or e.is_read_in_float}
    total = sum(counts.get(name, 0.0) for name in borders)
    if not total:
        return dict.fromkeys(costs.edges, 0.0)
    more = max(times.others_in_integers - times.others_in_float, 0.0)
    return {
        name: counts.get(name, 0.0) / total * (more if name in borders else moving_in_both)
        for name in costs.edges
    }


def latency_ratio(
    before: onnx.ModelProto, after: onnx.ModelProto, samples: Sequence[Feeds]
) -> float:
    """Return how many times the latency of one model the other's is, on one thread."""
    pair = LoadedPair(open_session(before), open_session(after), 0.0, 0.0)
    seconds, other_seconds = time_in_turn(pair, samples, TIMED_PAIRS, lambda _: None)
    return float(np.median(np.asarray(other_seconds) / np.asarray(seconds)))


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
