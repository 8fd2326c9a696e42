"""Dynamic quantization: 8-bit weights now, 8-bit activations at run time; needs no samples."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from glob import escape
from typing import Annotated, ClassVar, Literal, Self

import onnx
from pydantic import Field
from typing_extensions import override

from worker.engine.calibration.channels import RowChannels
from worker.engine.calibration.collector import collect
from worker.engine.datasets.splitting import at_most, first, hold_out
from worker.engine.errors import CalibrationError
from worker.engine.passes.base import Outlook, PassContext, PassResult, Preview
from worker.engine.passes.integer_outlook import integer_outlook
from worker.engine.passes.node_selection import (
    NodePatterns,
    NodeSelectingPass,
    matching_names,
    select_nodes,
    skipped_nodes,
)
from worker.engine.processor import adds_in_16_bits
from worker.engine.quantization.dynamic import (
    WeightOptions,
    place_dynamic,
    sole_products,
    write_dynamic,
)
from worker.engine.quantization.dynamic_choosing import (
    DynamicChoice,
    keep_answers,
    keep_fast,
    keep_faster,
)
from worker.engine.quantization.graph_view import Declined, GraphView
from worker.engine.quantization.smoothing import smooth
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy
from worker.engine.weights.remaining import storable_names, store_remaining

CHECKED_SAMPLES = 8
"""Held back samples that answers and times are measured on."""
SMOOTHING_SAMPLES = 16

DynamicOpType = Literal["Conv", "Gemm", "LSTM", "MatMul"]


class DynamicQuantization(NodeSelectingPass):
    """Compute matrix products and LSTMs in 8-bit integers, and store all other weights in 8 bits.

    Activations are rounded while the model runs, by the range of each input, so this works without
    samples; with samples it moves large activations into the weights and keeps in float what
    integers would make slower or spoil. Best for transformers and recurrent networks; convolutions
    compute in float unless asked for. The file is about four times smaller where weights fill it.
    """

    method: Literal["dynamic_quantization"] = "dynamic_quantization"
    minimum_opset: ClassVar[int] = 13
    needs_samples: ClassVar[bool] = True

    op_types_to_quantize: Annotated[tuple[DynamicOpType, ...], Field(min_length=1)] = (
        "MatMul",
        "Gemm",
        "LSTM",
    )
    """Op types to compute in integers. Conv is not in the default: its dynamic integer form is
    slower than float on most processors."""
    weight_type: Literal["int8", "uint8"] = "int8"
    """Type the weights are stored in. Processors without VNNI are faster with `int8`."""
    per_channel: bool = True
    """One scale for each output channel of a weight rather than one for the whole weight."""
    reduce_range: bool | Literal["auto"] = "auto"
    """Round weights so that no two products overflow 16 bits, which costs up to one bit. Without
    this, x86 processors that lack VNNI get wrong sums of `int8` weights; `auto` does so where this
    machine lacks it. Say `true` where a processor without VNNI will run the model."""
    smooth: bool = True
    """Move large values of single channels from the inputs of matrix products into their weights
    (SmoothQuant), where that is expected to lose less."""
    fallback: Literal["auto", "off"] = "auto"
    """Which of the chosen nodes stay in float: with `auto`, those that are no faster in integers on
    this processor, and those whose rounding moves the answers too far; `off` keeps none. The
    weights of all other nodes are stored in 8 bits either way."""
    nodes_in_float: NodePatterns = ()
    """Nodes that would be quantized, and are to compute in float all the same, with their weights
    stored: names, or patterns with `*`, `?` and `[...]`. The report's resolved spec names here what
    `fallback: auto` found."""
    fallback_sqnr_db: Annotated[float, Field(ge=0, le=80)] = 23.0
    """With `fallback: auto`, how close the answers must be on held back samples, as
    10 log10(signal / error) of the worst output."""

    @override
    def runs_of_model(self) -> tuple[int, int]:
        return 20, 1000

    @override
    def foresee(self, preview: Preview) -> Outlook:
        applied = self.apply(preview.part, preview.context)
        return integer_outlook(applied.model, preview.part, applied.changed_nodes, applied.skipped)

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        original = working_copy(model)
        selection = select_nodes(original, self, self.op_types_to_quantize)
        choice, declined = self._placed(original, selection.chosen)
        placed = set(choice.chosen)
        names = [node.name for node in original.graph.node]
        named = matching_names(self.nodes_in_float, names, "nodes_in_float")
        choice.leave_float(named, "nodes_in_float names it")
        result = self._choose(original, choice, context)
        stored = store_remaining(result, storable_names(original))
        reasons = {each.node.name: each.reason for each in declined} | choice.reasons
        nodes = [node for node in original.graph.node if node.name in reasons]
        left = [Declined(node, reasons[node.name]) for node in nodes]
        skipped = [*selection.skipped, *skipped_nodes(left)]
        refuse_unchanged(original, [*choice.chosen, *stored], skipped)
        notes = [
            *choice.notes,
            f"computed in integers: {len(choice.chosen)} nodes",
            f"weights stored in 8 bits, computed with in float: {len(stored)} nodes",
        ]
        context.report_progress("compressing", 1.0)
        resolved = self._resolved(sorted(placed - set(choice.chosen)))
        return PassResult(result, [*choice.chosen, *stored], skipped, notes, resolved)

    def _resolved(self, in_float: Iterable[str]) -> Self:
        """Return the pass with what was measured written out."""
        return self.model_copy(
            update={
                "reduce_range": self._weights.reduce_range,
                "fallback": "off",
                "nodes_in_float": tuple(map(escape, in_float)),
            }
        )

    @property
    def _weights(self) -> WeightOptions:
        is_needed = self.weight_type == "int8" and adds_in_16_bits()
        is_reduced = is_needed if self.reduce_range == "auto" else self.reduce_range
        return WeightOptions(self.weight_type, self.per_channel, is_reduced)

    def _placed(
        self, model: onnx.ModelProto, chosen: set[str]
    ) -> tuple[DynamicChoice, list[Declined]]:
        """Return the nodes that can compute in integers, and why others cannot."""
        products, lstms, declined = place_dynamic(GraphView(model.graph), chosen)
        names = {each.node.name for each in products} | {node.name for node in lstms}
        return DynamicChoice([n.name for n in model.graph.node if n.name in names]), declined

    def _choose(
        self, model: onnx.ModelProto, choice: DynamicChoice, context: PassContext
    ) -> onnx.ModelProto:
        """Return the model with the nodes in integers that are worth it; `choice` tells which."""
        samples = [each.feeds for each in first(hold_out(context.samples)[1], CHECKED_SAMPLES)]
        is_timed = bool(samples) and self.fallback == "auto" and context.execution_provider == "cpu"
        if is_timed:
            trying = partial(context.report_progress, "calibrating", 0.0)
            keep_faster(choice, model, samples[0], self._weights, trying)
        smoothed, count = self._smoothed(model, choice, context)
        if samples and self.fallback == "auto":
            before, allowed = list(choice.chosen), 10 ** (-self.fallback_sqnr_db / 10)
            choosing = partial(context.report_progress, "compressing", 0.0)
            keep_answers(choice, smoothed, samples, self._weights, allowed, choosing)
            if choice.chosen != before:
                # Only what computes in integers is made smoother, whoever else was tried.
                smoothed, count = self._smoothed(model, choice, context)
        result = write_dynamic(smoothed, choice.chosen, self._weights)
        is_kept = not is_timed or keep_fast(choice, model, result, samples)
        if not is_kept or not choice.chosen:
            return write_dynamic(model, [], self._weights)
        choice.notes.append(f"inputs of matrix products made smoother: {count}")
        return result

    def _smoothed(
        self, model: onnx.ModelProto, choice: DynamicChoice, context: PassContext
    ) -> tuple[onnx.ModelProto, int]:
        """Return the float model with smoother inputs of products, and how many became so."""
        readers = sole_products(GraphView(model.graph), choice.chosen)
        if not self.smooth or not readers or not len(context.samples):
            return model, 0
        result = working_copy(model)
        few = at_most(hold_out(context.samples)[0], SMOOTHING_SAMPLES)
        try:
            ranges = collect(result, readers, replace(context, samples=few), RowChannels)
        except CalibrationError:
            if context.samples.origin == "dataset":
                raise
            return model, 0
        smoothing = partial(context.report_progress, "compressing", 0.0)
        return result, len(smooth(result, readers, ranges, self._weights.steps, smoothing))
