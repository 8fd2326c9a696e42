"""Static quantization: 8-bit weights and activations, with ranges measured on samples."""

from dataclasses import replace
from glob import escape
from typing import Annotated, ClassVar, Literal, Self

import onnx
from pydantic import Field, model_validator
from typing_extensions import override

from worker.engine.calibration.collector import collect
from worker.engine.calibration.histogram import Histogram, RunningRange
from worker.engine.calibration.ranges import (
    CalibrationMethod,
    Percentile,
    RangeOptions,
    TensorRange,
    find_range,
)
from worker.engine.datasets.splitting import at_most, first, hold_out
from worker.engine.errors import CalibrationError
from worker.engine.passes.base import Outlook, PassContext, PassResult, Preview
from worker.engine.passes.integer_outlook import integer_outlook
from worker.engine.passes.node_selection import (
    NodePatterns,
    NodeSelectingPass,
    matching_names,
)
from worker.engine.passes.static_steps import StaticStart, equalized, remaining_weights, start
from worker.engine.processor import adds_in_16_bits
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.choosing import Choice, Question, choose, latency_ratio
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.smoothing import ChannelRange, smooth, smoothable
from worker.engine.quantization.static_writer import StaticWriter
from worker.engine.samples import Feeds
from worker.engine.weights.remaining import RemainingWeights

CHECKED_SAMPLES = 8
"""Held back samples that answers and times are measured on, at most ..."""
FEWEST_CHECKED = 3
CHECKED_VALUES = 2**22
"""... and of large ones only so many that they have this many values, but for the first few."""
SMOOTHING_SAMPLES = 16
SLOWER_RATIO = 1.02
"""Above this ratio of latencies, a difference is not noise."""

QuantizedOpType = Literal[
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Flatten",
    "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Relu", "Reshape",
    "Resize", "Sigmoid", "Slice", "Softmax", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze",
]  # fmt: skip


class StaticQuantization(NodeSelectingPass):
    """Compute in 8-bit integers, with the ranges of activations measured on calibration samples.

    Convolutions and matrix products with constant weights are quantized, together with the nodes
    between them that can pass integers on without loss. The file is about four times smaller where
    weights fill it, and runs faster where the processor has fast integer kernels.
    """

    method: Literal["static_quantization"] = "static_quantization"
    needs_samples: ClassVar[bool] = True
    minimum_opset: ClassVar[int] = 13

    op_types_to_quantize: Annotated[tuple[QuantizedOpType, ...], Field(min_length=1)] = (
        "Conv", "ConvTranspose", "MatMul", "Gemm",
        "Relu", "Clip", "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose",
        "DepthToSpace", "SpaceToDepth",
    )  # fmt: skip
    """Op types to quantize. The default computes with constant weights in integers and adds the op
    types that lose nothing; rounding others (Add, Concat, Softmax, ...) can be faster and is what
    ruins models most often."""
    weight_type: Literal["int8", "uint8"] = "int8"
    """Type the weights are stored in."""
    activation_type: Literal["uint8", "int8", "uint16", "int16"] = "uint8"
    """Type of the activations; `uint8` is the one that x86 kernels take. 16 bits keep more of the
    answers, at the speed of float."""
    per_channel: bool = True
    """One scale for each output channel of a weight rather than one for the whole weight."""
    weight_symmetric: bool = True
    """Weight ranges centred on 0; needed with `per_channel`."""
    activation_symmetric: bool = False
    """Activation ranges centred on 0, which some accelerators need."""
    reduce_range: bool | Literal["auto"] = "auto"
    """Use 7 of the 8 bits of a weight. Without this, x86 processors that lack VNNI add products in
    16 bits and get wrong sums; `auto` does so where this machine lacks it. Say `true` where a
    processor without VNNI will run the model."""
    quant_format: Literal["qdq", "qoperator"] = "qdq"
    """How the result is written: QuantizeLinear/DequantizeLinear pairs around float operators,
    which every runtime understands, or onnxruntime's QLinear operators."""
    calibration_method: CalibrationMethod = "mse"
    """How the range of an activation is found: `minmax` holds all values seen, `percentile` leaves
    out the rarest, `mse` has the least mean squared error, `entropy` keeps the distribution (as
    TensorRT does) and suits no model whose rare, large values matter."""
    percentile: Percentile = 99.99
    """Percentage of values inside the range, for `calibration_method: percentile`."""
    smooth: bool = True
    """Move large values of single channels from the inputs of matrix products into their weights
    (SmoothQuant), where that is expected to lose less."""
    equalize: bool | Literal["auto"] = "auto"
    """Even out the channels of activations between convolutions by powers of two in the weights
    around them, so that small channels keep more of their 8 bits; `auto` does where that halves
    the answers' error on held back samples of yours, and not at all with `fallback: off`."""
    correct_biases: bool | Literal["auto"] = "auto"
    """Move the mean error that a rounded weight makes in the output of a Conv or Gemm into its
    bias, in integers and in float; `auto` does where that brings the answers closer on held back
    samples, and not at all with `fallback: off`."""
    fallback: Literal["auto", "off"] = "auto"
    """Which of the chosen nodes stay in float: with `auto`, those that are no faster in integers on
    this processor, and those whose rounding moves the answers too far; `off` keeps none. The
    weights of all other nodes are stored in 8 bits either way, and with `auto` in 16 where 8 alone
    would move the answers too far."""
    nodes_in_float: NodePatterns = ()
    """Nodes that would be quantized, and are to compute in float all the same, with their weights
    stored: names, or patterns with `*`, `?` and `[...]`. The report's resolved spec names here what
    `fallback: auto` found."""
    weights_in_half: NodePatterns = ()
    """Weights to store in 16 bits rather than 8 where their nodes compute in float, by the names or
    patterns of initializers. The report's resolved spec names here what `fallback: auto` found."""
    fallback_sqnr_db: Annotated[float, Field(ge=0, le=80)] = 25.0
    """With `fallback: auto`, how close the answers must be on held back samples, as
    10 log10(signal / error) of the worst output. Task scores within 0.01 took 25 for a sentence
    encoder, and less for detectors and classifiers; lower values are faster."""

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.per_channel and not self.weight_symmetric:
            raise ValueError("weight_symmetric: false needs per_channel: false")
        if self.activation_type in {"int8", "int16"} and self.weight_type == "uint8":
            raise ValueError("weight_type uint8 needs activation_type uint8 or uint16")
        if self.quant_format == "qoperator" and self.activation_type in {"int16", "uint16"}:
            raise ValueError("16-bit activations need quant_format qdq")
        return self

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
        original = begun.writer.model
        smoothed = self._smoothed(begun.writer, context)
        is_measured = self.fallback == "auto"
        errors = AnswerErrors(smoothed.model, self._checked(context)) if is_measured else None
        writer = equalized(
            smoothed,
            context,
            errors,
            lambda trial, few: self._calibrate(trial, replace(context, samples=few)),
            is_equalized=None if self.equalize == "auto" else self.equalize,
        )
        if writer.nodes:
            self._calibrate(writer, replace(context, samples=hold_out(context.samples)[0]))
        begun = replace(begun, writer=writer)
        is_corrected = None if self.correct_biases == "auto" else self.correct_biases
        remaining = remaining_weights(writer, context, errors, is_corrected=is_corrected)
        choice = self._choose(writer, remaining, errors, context)
        written = begun.written(remaining, choice)
        if choice.chosen and errors is not None and self._is_timed(context):
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
            self._resolved(writer, remaining, choice, is_equalized=writer is not smoothed),
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

    @property
    def types(self) -> QdqOptions:
        """The types to write."""
        is_reduced = adds_in_16_bits() if self.reduce_range == "auto" else self.reduce_range
        return QdqOptions(
            IntegerType(self.weight_type, self.weight_symmetric, is_reduced),
            IntegerType(self.activation_type, self.activation_symmetric),
            self.per_channel,
        )

    def _is_timed(self, context: PassContext) -> bool:
        """Whether integers have to be faster: not where 16 bits or another device are wanted."""
        return (
            self.fallback == "auto"
            and self.activation_type in {"uint8", "int8"}
            and context.execution_provider == "cpu"
        )

    def _choose(
        self,
        writer: StaticWriter,
        remaining: RemainingWeights,
        errors: AnswerErrors | None,
        context: PassContext,
    ) -> Choice:
        """Return the nodes to compute in integers."""
        names = [node.name for node in writer.model.graph.node]
        in_float = matching_names(self.nodes_in_float, names, "nodes_in_float")
        weights = sorted(remaining.names)
        choice = Choice(
            writer.nodes - in_float,
            matching_names(self.weights_in_half, weights, "weights_in_half", "weight"),
            dict.fromkeys(sorted(writer.nodes & in_float), "nodes_in_float names it"),
        )
        if errors is not None:
            question = Question(
                writer.model,
                writer.write,
                remaining,
                writer.counts,
                errors,
                10 ** (-self.fallback_sqnr_db / 10),
                self._is_timed(context),
                context.workdir,
            )
            choose(question, choice)
        return choice

    def _smoothed(self, writer: StaticWriter, context: PassContext) -> StaticWriter:
        """Return a writer of the model with smoother activations, where that keeps more of them."""
        readers = smoothable(writer.placement, writer.view) if self.smooth else {}
        if not readers:
            return writer
        quiet = replace(context, report_progress=lambda *_: None)
        few = replace(quiet, samples=at_most(context.samples, SMOOTHING_SAMPLES))
        ranges = collect(writer.model, readers, few, ChannelRange)
        smooth(writer.model, readers, ranges, self.types.weights.levels - 1)
        return StaticWriter(writer.model, writer.chosen, writer.options)

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

    def _calibrate(self, writer: StaticWriter, context: PassContext) -> None:
        """Give the writer its ranges, and how many values each tensor has in a sample."""
        activations = self.types.activations
        options = RangeOptions(
            self.calibration_method, self.percentile, activations.levels, activations.is_symmetric
        )
        # Where statistics are kept for other jobs, those should do for any method.
        is_kept = context.cache.folder is not None
        statistics = Histogram if options.needs_histogram or is_kept else RunningRange
        tensors = list(dict.fromkeys([*writer.tensors("qdq"), *writer.tensors(self.quant_format)]))
        observed = collect(writer.model, tensors, context, statistics)
        for weighted in writer.placement.weighted:
            root = writer.placement.shared.get(weighted.activation, weighted.activation)
            if root not in observed:
                raise CalibrationError(
                    f"tensor {root} has no values in any calibration sample; give samples that "
                    f"reach {weighted.node.name}, or exclude it"
                )
        writer.use_ranges({name: find_range(seen, options) for name, seen in observed.items()})
        writer.counts = {n: seen.count / len(context.samples) for n, seen in observed.items()}
