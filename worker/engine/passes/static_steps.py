"""The first and the last steps of static quantization, which a job and a preflight share."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from math import inf

import onnx

from worker.engine.calibration.collector import collect
from worker.engine.datasets.splitting import at_most, hold_out
from worker.engine.errors import CalibrationError
from worker.engine.passes.base import PassContext, SkippedNode
from worker.engine.passes.node_selection import NodeSelectingPass, select_nodes, skipped_nodes
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.bias_correction import (
    BiasCorrections,
    ChannelMean,
    correctable,
)
from worker.engine.quantization.choosing import Choice
from worker.engine.quantization.equalization import ChannelSpread, equalize, regions
from worker.engine.quantization.graph_view import Declined, GraphView
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.product_bias import join_biases
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.qoperator import unsupported
from worker.engine.quantization.static_writer import QuantFormat, StaticWriter
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy
from worker.engine.samples import SampleSource
from worker.engine.weights.remaining import RemainingWeights

MEAN_SAMPLES = 16
SPREAD_SAMPLES = 16
TRIAL_SAMPLES = 8
CLOSER = 0.5
"""Share of the answers' error that evener channels may leave.

Less of a gain with all nodes in integers did not last where some of them stay in float."""


@dataclass(frozen=True)
class Finished:
    """The written model, the nodes that changed, of them those only stored, and the others."""

    model: onnx.ModelProto
    changed: list[str]
    stored: list[str]
    skipped: list[SkippedNode]


@dataclass(frozen=True)
class StaticStart:
    """A model ready to be written, the Add nodes joined with products, and the nodes left out."""

    writer: StaticWriter
    quant_format: QuantFormat
    joined: list[str]
    skipped: list[SkippedNode]

    def written(self, remaining: RemainingWeights, choice: Choice) -> Finished:
        """Return the result with the chosen nodes in integers and the other weights stored.

        Raises:
            PassError: nothing changed.
        """
        model, placement, *_ = self.writer.write(choice.chosen, self.quant_format)
        stored = remaining.store(model, choice.halves)
        skipped = [*self.skipped, *skipped_nodes(self._left_float(placement, choice))]
        refuse_unchanged([*placement.weighted, *stored], skipped)
        changed = [*placement.changed_names, *self.joined, *stored]
        return Finished(model, changed, stored, skipped)

    def _left_float(self, placement: Placement, choice: Choice) -> list[Declined]:
        """Return the chosen nodes that stay in float, and why."""
        writer, changed = self.writer, set(placement.changed_names)
        reasons = {each.node.name: each.reason for each in writer.placement.declined}
        reasons |= choice.reasons
        return [
            Declined(node, reasons.get(node.name, "no node beside it computes in integers"))
            for node in writer.model.graph.node
            if node.name in writer.chosen - changed
        ]


def start(
    model: onnx.ModelProto,
    step: NodeSelectingPass,
    op_types: Collection[str],
    types: QdqOptions,
    quant_format: QuantFormat,
) -> StaticStart:
    """Return a copy of the model with its nodes chosen and their biases joined.

    Raises:
        PassError: the model is quantized already, or a name matches no node.
    """
    original = working_copy(model)
    selection = select_nodes(original, step, op_types)
    joined = join_biases(original, selection.chosen)
    declined: list[Declined] = []
    if quant_format == "qoperator":
        declined = unsupported([n for n in original.graph.node if n.name in selection.chosen])
    chosen = selection.chosen - {node.name for node, _ in declined}
    skipped = [skip for skip in selection.skipped if skip.node not in joined]
    return StaticStart(
        StaticWriter(original, chosen, types),
        quant_format,
        joined,
        [*skipped, *skipped_nodes(declined)],
    )


def equalized(
    writer: StaticWriter,
    context: PassContext,
    errors: AnswerErrors | None,
    calibrate: Callable[[StaticWriter, SampleSource], None],
    *,
    is_equalized: bool | None,
) -> StaticWriter:
    """Return a writer of the model with evener channels, or the same where none are uneven.

    None evens them out where the answers in integers come closer by it on samples of the user's.
    """
    is_measurable = errors is not None and context.samples.origin == "dataset"
    found = [] if is_equalized is False else regions(writer.view)
    if not writer.nodes or not found or (is_equalized is None and not is_measurable):
        return writer
    samples = at_most(hold_out(context.samples)[0], SPREAD_SAMPLES)
    few = replace(context, samples=samples, report_progress=lambda *_: None)
    rounded = [each for each in writer.placement.weighted if each.node.op_type != "MatMul"]
    seen = collect(writer.model, [each.activation for each in rounded], few, ChannelSpread)
    model = _copy(writer.model)
    if not equalize(model, found, seen, writer.options.weights.levels - 1):
        return writer
    candidate = StaticWriter(model, writer.chosen, writer.options)
    if is_equalized or errors is None:
        return candidate
    before, after = (
        _error_in_integers(each, calibrate, at_most(samples, TRIAL_SAMPLES), errors)
        for each in (writer, candidate)
    )
    return candidate if after < CLOSER * before else writer


def _error_in_integers(
    writer: StaticWriter,
    calibrate: Callable[[StaticWriter, SampleSource], None],
    samples: SampleSource,
    errors: AnswerErrors,
) -> float:
    """Return the answers' error with all nodes in integers, by ranges of a few samples."""
    trial = StaticWriter(writer.model, writer.chosen, writer.options)
    try:
        calibrate(trial, samples)
    except CalibrationError:
        return inf  # these few do not reach every node
    return errors.of_model(trial.write(trial.nodes).model)


def remaining_weights(
    writer: StaticWriter,
    context: PassContext,
    errors: AnswerErrors | None,
    *,
    is_corrected: bool | None,
) -> RemainingWeights:
    """Return the weights to store, and let the writer correct biases where they do.

    None corrects biases where the answers come closer by it once all weights are stored, which
    rounds those of nodes in integers much as these do.
    """
    model, plain = writer.model, RemainingWeights(writer.model)
    weights = plain.names | {each.weight for each in writer.placement.weighted}
    nodes = correctable(GraphView(model.graph), weights)
    if is_corrected is False or not nodes or (is_corrected is None and errors is None):
        return plain
    samples = at_most(hold_out(context.samples)[0], MEAN_SAMPLES)
    few = replace(context, samples=samples, report_progress=lambda *_: None)
    seen = collect(model, [each.activation for each in nodes], few, ChannelMean)
    found = {each.node.name: seen.get(each.activation) for each in nodes}
    corrections = BiasCorrections(
        {name: each.means for name, each in found.items() if isinstance(each, ChannelMean)}
    )
    corrected = RemainingWeights(model, corrections)
    if not is_corrected and errors is not None:
        before, after = (errors.of_model(w.round(_copy(model), ())) for w in (plain, corrected))
        if after >= before:
            return plain
    writer.corrections = corrections
    return corrected


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
