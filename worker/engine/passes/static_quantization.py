"""Static quantization: 8-bit weights and activations, with ranges measured on samples."""

from dataclasses import replace
from functools import partial
from glob import escape
from math import inf
from typing import ClassVar, Literal, Self

import onnx
from typing_extensions import override

from worker.engine.calibration.ranges import TensorRange
from worker.engine.datasets.splitting import at_most, first, hold_out
from worker.engine.errors import CalibrationError
from worker.engine.passes.base import Outlook, PassContext, PassResult, Preview
from worker.engine.passes.integer_outlook import integer_outlook
from worker.engine.passes.node_selection import matching_names
from worker.engine.passes.static_adjusting import Channels, equalized, remaining_weights, smoothed
from worker.engine.passes.static_options import StaticOptions
from worker.engine.passes.static_steps import StaticStart, start
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.choosing import (
    Choice,
    Question,
    keep_answers,
    latency_ratio,
    leave_slow_nodes,
    untimed_costs,
)
from worker.engine.quantization.fallback import Costs
from worker.engine.quantization.static_writer import StaticWriter
from worker.engine.samples import Feeds
from worker.engine.weights.remaining import RemainingWeights, storable_names

CHECKED_SAMPLES = 8
"""Held back samples that answers and times are measured on, at most ..."""
FEWEST_CHECKED = 3
CHECKED_VALUES = 2**22
"""... and of large ones only so many that they have this many values, but for the first few."""
TRIAL_SAMPLES = 8
SLOWER_RATIO = 1.02
"""Above this ratio of latencies, a difference is not noise."""


class StaticQuantization(StaticOptions):
    """Compute in 8-bit integers, with the ranges of activations measured on calibration samples.

    Convolutions and matrix products with constant weights are quantized, together with the nodes
    between them that can pass integers on without loss. The file is about four times smaller where
    weights fill it, and runs faster where the processor has fast integer kernels.
    """

    method: Literal["static_quantization"] = "static_quantization"
    needs_samples: ClassVar[bool] = True
    minimum_opset: ClassVar[int] = 13

    @override
    def runs_of_model(self) -> tuple[int, int]:
        return 20, 3000

    @override
    def foresee(self, preview: Preview) -> Outlook:
        begun = self._start(preview.part)
        writer = begun.writer
        tensors = enumerate(writer.tensors(self.quant_format))
        # Made up, but no two alike: equal tensors are stored once.
        writer.use_ranges({name: TensorRange(-1.0, 1.0 + i / 1000) for i, name in tensors})
        written = begun.written(RemainingWeights(writer.model), Choice(writer.nodes))
        return integer_outlook(written.model, writer.model, written.changed, written.skipped)

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        begun = self._start(model)
        tick = partial(context.report_progress, "compressing", 0.0)
        training = replace(context, samples=hold_out(context.samples)[0])
        later = replace(training, report_progress=lambda *_: tick())
        original = begun.writer.model
        writer = smoothed(begun.writer, later) if self.smooth else begun.writer
        errors: AnswerErrors | None = None
        if self.fallback == "auto":
            errors = AnswerErrors(writer.model, self._checked(context), tick)
        channels = self.calibration.calibrate(writer, training)
        choice = self._wanted(writer)
        costs = None if errors is None else self._costs(writer, choice, errors, context)
        evened = self._equalized(writer, choice, channels, errors, later)
        if evened is not writer:
            channels = self.calibration.calibrate(evened, later)
        is_corrected = None if self.correct_biases == "auto" else self.correct_biases
        remaining = remaining_weights(evened, channels, errors, is_corrected=is_corrected)
        if errors is not None and costs is not None:
            allowed = 10 ** (-self.fallback_sqnr_db / 10)
            keep_answers(Question(evened, remaining, errors, allowed), costs, choice)
        begun = replace(begun, writer=evened)
        written = begun.written(remaining, choice)
        if choice.chosen and errors is not None and self.is_timed(context):
            ratio = latency_ratio(original, written.model, errors.samples)
            if ratio > SLOWER_RATIO:
                choice.leave_all_float(f"it made the model slower: {ratio:.2f} times the latency")
                written = begun.written(remaining, choice)
        count = f"weights stored, and computed with in float: {len(written.stored)} nodes"
        return PassResult(
            written.model,
            written.changed,
            written.skipped,
            [*choice.notes, count],
            self._resolved(evened, remaining, choice, is_equalized=evened is not writer),
        )

    def _start(self, model: onnx.ModelProto) -> StaticStart:
        return start(model, self, self.op_types_to_quantize, self.types, self.quant_format)

    def _resolved(
        self,
        writer: StaticWriter,
        remaining: RemainingWeights,
        choice: Choice,
        *,
        is_equalized: bool,
    ) -> Self:
        """Return the pass with what was measured written out."""
        return self.model_copy(
            update={
                "reduce_range": self.types.weights.reduce_range,
                "equalize": is_equalized,
                "correct_biases": bool(remaining.corrections.means),
                "fallback": "off",
                "nodes_in_float": tuple(map(escape, sorted(writer.nodes - choice.chosen))),
                "weights_in_half": tuple(map(escape, sorted(choice.halves))),
            }
        )

    def _wanted(self, writer: StaticWriter) -> Choice:
        """Return the nodes that are to compute in integers, as far as they can."""
        names = [node.name for node in writer.model.graph.node]
        in_float = matching_names(self.nodes_in_float, names, "nodes_in_float")
        weights = sorted(storable_names(writer.model))
        return Choice(
            writer.nodes - in_float,
            matching_names(self.weights_in_half, weights, "weights_in_half", "weight"),
            dict.fromkeys(sorted(writer.nodes & in_float), "nodes_in_float names it"),
        )

    def _costs(
        self,
        writer: StaticWriter,
        choice: Choice,
        errors: AnswerErrors,
        context: PassContext,
    ) -> Costs:
        """Return the costs of the nodes, less those that are slower in integers."""
        if choice.chosen and self.is_timed(context):
            return leave_slow_nodes(writer, errors.samples, choice, context.workdir)
        return untimed_costs(writer, choice)

    def _equalized(
        self,
        writer: StaticWriter,
        choice: Choice,
        channels: Channels,
        errors: AnswerErrors | None,
        context: PassContext,
    ) -> StaticWriter:
        """Return a writer of a model with evener channels, where that is wanted."""
        few = replace(context, samples=at_most(context.samples, TRIAL_SAMPLES))

        def error(trial: StaticWriter) -> float:
            try:
                if trial is not writer:
                    self.calibration.calibrate(trial, few)
            except CalibrationError:
                return inf  # these few do not reach every node
            return 0.0 if errors is None else errors.of_model(trial.write(choice.chosen).model)

        if self.equalize == "auto":
            is_measurable = errors is not None and context.samples.origin == "dataset"
            nodes = choice.chosen if is_measurable else set()
            return equalized(writer, nodes, channels, is_tried=True, error=error)
        nodes = writer.nodes if self.equalize else set()
        return equalized(writer, nodes, channels, is_tried=False, error=error)

    def _checked(self, context: PassContext) -> list[Feeds]:
        """Return feeds that did not calibrate, as far as there are enough."""
        checked: list[Feeds] = []
        values = 0
        for sample in first(hold_out(context.samples)[1], CHECKED_SAMPLES):
            values += sum(array.size for array in sample.feeds.values())
            if len(checked) >= FEWEST_CHECKED and values > CHECKED_VALUES:
                break
            checked.append(sample.feeds)
        return checked
