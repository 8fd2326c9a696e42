"""Dynamic quantization: 8-bit weights now, 8-bit activations at run time; no samples needed."""

from typing import Annotated, ClassVar, Literal

import onnx
from pydantic import Field
from typing_extensions import override

from worker.engine.passes.base import PassContext, PassResult
from worker.engine.passes.node_selection import NodeSelectingPass, select_nodes, skipped_nodes
from worker.engine.quantization.dynamic import DynamicWriter, place_dynamic
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy

DynamicOpType = Literal["Conv", "Gemm", "LSTM", "MatMul"]


class DynamicQuantization(NodeSelectingPass):
    """Store the weights of matrix products and LSTMs as 8-bit integers and compute in integers.

    Activations are rounded while the model runs, by the range of each input, so no samples are
    needed. Best for transformers and recurrent networks; convolutions are left alone unless asked
    for.
    """

    method: Literal["dynamic_quantization"] = "dynamic_quantization"
    minimum_opset: ClassVar[int] = 13

    op_types_to_quantize: Annotated[tuple[DynamicOpType, ...], Field(min_length=1)] = (
        "MatMul",
        "Gemm",
        "LSTM",
    )
    """Op types to quantize. Conv is not in the default: its dynamic integer form is slower than
    float on most processors."""
    weight_type: Literal["int8", "uint8"] = "int8"
    """Type the weights are stored in."""
    per_channel: bool = True
    """One scale for each output channel of a weight rather than one for the whole weight."""
    reduce_range: bool = True
    """Use 7 of the 8 bits of a weight. Without this, x86 processors that lack VNNI add products in
    16 bits and get wrong sums; turn it off for a little more fidelity where all processors that
    will run the model have VNNI, or are no x86."""

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        result = working_copy(model)
        selection = select_nodes(result, self, self.op_types_to_quantize)
        products, lstms, declined = place_dynamic(GraphView(result.graph), selection.chosen)
        changed = [*(weighted.node.name for weighted in products), *(node.name for node in lstms)]
        skipped = [*selection.skipped, *skipped_nodes(declined)]
        refuse_unchanged(changed, skipped)
        kind = IntegerType(self.weight_type, is_symmetric=True, reduce_range=self.reduce_range)
        DynamicWriter(result, kind, per_channel=self.per_channel).write(products, lstms)
        context.report_progress("compressing", 1.0)
        return PassResult(result, changed, skipped)
