"""Dynamic quantization: 8-bit weights now, 8-bit activations at run time; no samples needed."""

from typing import Literal

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from typing_extensions import override

from worker.engine.passes.base import PassContext, PassResult
from worker.engine.passes.node_selection import NodeSelectingPass


class DynamicQuantization(NodeSelectingPass):
    """Store the weights of MatMul, Gemm, LSTM and Attention nodes as 8-bit integers.

    Activations are quantized while the model runs, by the range of each input, so no samples are
    needed.
    """

    method: Literal["dynamic_quantization"] = "dynamic_quantization"

    weight_type: Literal["int8", "uint8"] = "int8"
    """Type the weights are stored in."""
    per_channel: bool = True
    """One scale for each output channel of a weight rather than one for the whole weight."""
    reduce_range: bool = False
    """Use 7 of the 8 bits, for x86 processors without VNNI, whose 8-bit sums saturate."""
    op_types_to_quantize: list[Literal["MatMul", "Gemm", "LSTM", "Attention", "Conv"]] = [
        "MatMul", "Gemm", "LSTM", "Attention",
    ]  # fmt: skip
    """Op types whose weights are quantized. Conv is slow on most processors and not in the default."""

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        source, target = context.workdir / "float.onnx", context.workdir / "dynamic.onnx"
        onnx.save(model, source)
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(self.op_types_to_quantize),
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            weight_type=QuantType.from_string("Q" + self.weight_type.replace("int", "Int", 1).replace("uI", "UI")),
        )
        return PassResult(onnx.load(target))
