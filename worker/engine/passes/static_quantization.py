"""Static quantization: 8-bit weights and activations, with ranges measured on samples."""

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
from worker.engine.errors import CalibrationError
from worker.engine.passes.base import PassContext, PassResult
from worker.engine.passes.node_selection import NodeSelectingPass, select_nodes, skipped_nodes
from worker.engine.quantization.graph_view import Declined, GraphView
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.placement import Placement, place
from worker.engine.quantization.product_bias import join_biases
from worker.engine.quantization.qdq import QdqOptions, write_qdq
from worker.engine.quantization.qoperator import tensors_of, unsupported, write_qoperator
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy

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
    reduce_range: bool = True
    """Use 7 of the 8 bits of a weight. Without this, x86 processors that lack VNNI add products in
    16 bits and get wrong sums; turn it off for a little more fidelity where all processors that
    will run the model have VNNI, or are no x86."""
    quant_format: Literal["qdq", "qoperator"] = "qdq"
    """How the result is written: QuantizeLinear/DequantizeLinear pairs around float operators,
    which every runtime understands, or onnxruntime's QLinear operators."""
    calibration_method: CalibrationMethod = "minmax"
    """How the range of an activation is found: `minmax` holds all values seen, `percentile` leaves
    out the rarest, `mse` has the least mean squared error, `entropy` keeps the distribution (as
    TensorRT does) and suits no model whose rare, large values matter."""
    percentile: Percentile = 99.99
    """Percentage of values inside the range, for `calibration_method: percentile`."""

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
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        result = working_copy(model)
        selection = select_nodes(result, self, self.op_types_to_quantize)
        joined = join_biases(result, selection.chosen)
        view = GraphView(result.graph)
        declined: list[Declined] = []
        if self.quant_format == "qoperator":
            declined = unsupported([n for n in result.graph.node if n.name in selection.chosen])
        chosen = selection.chosen - {node.name for node, _ in declined}
        placement = place(view, chosen, absorb=not self.activation_symmetric)
        left_alone = [skip for skip in selection.skipped if skip.node not in joined]
        skipped = [*left_alone, *skipped_nodes([*declined, *placement.declined])]
        refuse_unchanged(placement.weighted, skipped)
        if self.quant_format == "qoperator":
            ranges = self._ranges(result, placement, tensors_of(placement, view), context)
            write_qoperator(result, placement, ranges, self._types)
        else:
            ranges = self._ranges(result, placement, placement.tensors, context)
            write_qdq(result, placement, ranges, self._types)
        return PassResult(result, [*placement.changed_names, *joined], skipped)

    @property
    def _types(self) -> QdqOptions:
        return QdqOptions(
            IntegerType(self.weight_type, self.weight_symmetric, self.reduce_range),
            IntegerType(self.activation_type, self.activation_symmetric),
            self.per_channel,
        )

    def _ranges(
        self,
        model: onnx.ModelProto,
        placement: Placement,
        tensors: list[str],
        context: PassContext,
    ) -> dict[str, TensorRange]:
        """Return the range of each activation, from one pass over the samples."""
        activations = self._types.activations
        options = RangeOptions(
            self.calibration_method, self.percentile, activations.levels, activations.is_symmetric
        )
        statistics = Histogram if options.needs_histogram else RunningRange
        observed = collect(model, tensors, context, statistics)
        for weighted in placement.weighted:
            root = placement.shared.get(weighted.activation, weighted.activation)
            if root not in observed:
                raise CalibrationError(
                    f"tensor {root} has no values in any calibration sample; give samples that "
                    f"reach {weighted.node.name}, or exclude it"
                )
        return {name: find_range(seen, options) for name, seen in observed.items()}
