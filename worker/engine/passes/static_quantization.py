"""Static quantization: 8-bit weights and activations, with ranges measured on samples."""

from typing import Annotated, ClassVar, Literal

import onnx
from pydantic import Field
from typing_extensions import override

from worker.engine.errors import PassError
from worker.engine.passes.base import PassContext, PassResult
from worker.engine.passes.node_selection import NodeSelectingPass

CalibrationMethod = Literal["minmax", "percentile", "entropy", "mse"]


class StaticQuantization(NodeSelectingPass):
    """Compute in 8-bit integers, with the ranges of activations measured on calibration samples."""

    method: Literal["static_quantization"] = "static_quantization"
    needs_samples: ClassVar[bool] = True
    minimum_opset: ClassVar[int] = 13

    weight_type: Literal["int8", "uint8"] = "int8"
    """Type the weights are stored in."""
    activation_type: Literal["uint8", "int8", "uint16", "int16"] = "uint8"
    """Type of the activations; `uint8` is the one that x86 kernels fuse."""
    per_channel: bool = True
    """One scale for each output channel of a weight rather than one for the whole weight."""
    reduce_range: bool = False
    """Use 7 of the 8 bits, for x86 processors without VNNI, whose 8-bit sums saturate."""
    quant_format: Literal["qdq", "qoperator"] = "qdq"
    """How the result is written: QuantizeLinear/DequantizeLinear pairs, or QLinear operators."""
    calibration_method: CalibrationMethod = "minmax"
    """How the range of an activation is found."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    """Share of values that the range keeps, for `calibration_method: percentile`."""

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        raise PassError("static quantization is being written")
