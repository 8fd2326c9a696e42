"""What a spec may say of static quantization."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from worker.engine.calibration.ranges import CalibrationMethod, Percentile, RangeOptions
from worker.engine.passes.base import PassContext
from worker.engine.passes.node_selection import NodePatterns, NodeSelectingPass
from worker.engine.passes.static_calibration import StaticCalibration
from worker.engine.processor import adds_in_16_bits
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.qdq import QdqOptions

QuantizedOpType = Literal[
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "DepthToSpace", "Flatten",
    "Gemm", "GlobalAveragePool", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Relu", "Reshape",
    "Resize", "Sigmoid", "Slice", "Softmax", "SpaceToDepth", "Squeeze", "Transpose", "Unsqueeze",
]  # fmt: skip


class StaticOptions(NodeSelectingPass):
    """The options, and what follows from several of them."""

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

    @property
    def types(self) -> QdqOptions:
        """The types to write."""
        is_reduced = adds_in_16_bits() if self.reduce_range == "auto" else self.reduce_range
        return QdqOptions(
            IntegerType(self.weight_type, self.weight_symmetric, is_reduced),
            IntegerType(self.activation_type, self.activation_symmetric),
            self.per_channel,
        )

    @property
    def calibration(self) -> StaticCalibration:
        """How activations are looked at."""
        activations = self.types.activations
        is_measured = self.fallback == "auto"
        return StaticCalibration(
            RangeOptions(
                self.calibration_method,
                self.percentile,
                activations.levels,
                activations.is_symmetric,
            ),
            self.quant_format,
            sees_channels=any(
                wanted is True or (wanted == "auto" and is_measured)
                for wanted in (self.equalize, self.correct_biases)
            ),
        )

    def is_timed(self, context: PassContext) -> bool:
        """Whether integers have to be faster: not where 16 bits or another device are wanted."""
        return (
            self.fallback == "auto"
            and self.activation_type in {"uint8", "int8"}
            and context.execution_provider == "cpu"
        )
