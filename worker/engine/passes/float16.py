"""Half precision: weights stored as float16, computed with in float32 or in float16."""

from typing import Annotated, ClassVar, Literal

import onnx
from onnx import helper, numpy_helper
from pydantic import Field
from typing_extensions import override

from worker.engine.errors import PassError
from worker.engine.half_precision import HalfConverter, as_half, why_not_half
from worker.engine.names import NameGiver, taken_names
from worker.engine.passes.base import Pass, PassContext, PassResult, SkippedNode
from worker.engine.quantization.working_copy import refuse_quantized, refuse_stored
from worker.engine.weights.finding import Weight, find_weights


class Float16(Pass):
    """Stores float32 weights as float16, which halves the file.

    `folded` keeps all computation in float32: onnxruntime turns the weights back when it loads
    the model, so speed and memory at run time stay as they were, on every processor. `native`
    computes in float16 as well, which is faster on a GPU and slower on most CPUs; graph inputs and
    outputs stay float32. Weights that float16 cannot hold, such as those beyond 65504, stay
    float32.
    """

    method: Literal["float16"] = "float16"

    storage: Literal["folded", "native"] | None = None
    """`folded` stores halves and computes in float32, `native` computes in float16; left out,
    `native` where the job runs on CUDA and `folded` elsewhere."""
    minimum_values: Annotated[int, Field(ge=1)] = 128
    """With `folded`, weights with fewer values stay float32: the Cast would cost more than is
    saved."""

    minimum_opset: ClassVar[int] = 7

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        storage = self.storage
        if storage is None:
            storage = "native" if context.execution_provider == "cuda" else "folded"
        changed, skipped = _compute_in_half(copy) if storage == "native" else ([], [])
        changed += self._store_halves(copy, skipped)
        if not changed:
            _refuse(copy, skipped)
        return PassResult(copy, list(dict.fromkeys(changed)), skipped)

    def _store_halves(self, model: onnx.ModelProto, skipped: list[SkippedNode]) -> list[str]:
        """Replace weights by halves and a Cast, which onnxruntime folds when it loads the model.

        Returns the nodes that read them, and adds those whose weights stay to `skipped`.
        """
        names = NameGiver(taken_names(model))
        changed: list[str] = []
        for weight in find_weights(model, self.minimum_values):
            reason = _why_not(weight)
            if reason is None:
                _store_half(weight, names)
                changed += [_node_name(use.node) for use in weight.uses]
                continue
            skipped.extend(
                SkippedNode(node=_node_name(use.node), op_type=use.node.op_type, reason=reason)
                for use in weight.uses
            )
        return changed


def _node_name(node: onnx.NodeProto) -> str:
    return node.name or next(iter(node.output), node.op_type)


def _why_not(weight: Weight) -> str | None:
    """Return why a weight stays as it is; None where float16 can hold it."""
    if weight.tensor.data_type != onnx.TensorProto.FLOAT:
        return f"its weight {weight.name} is float64"
    reason = why_not_half(numpy_helper.to_array(weight.tensor))
    return None if reason is None else f"its weight {weight.name} {reason}"


def _store_half(weight: Weight, names: NameGiver) -> None:
    """Put a half and a Cast in a weight's place; the Cast's result has the weight's name."""
    name = weight.name
    half = names.name(f"{name}.half")
    weight.tensor.CopyFrom(as_half(weight.tensor, half))
    cast = helper.make_node(
        "Cast", [half], [name], name=names.name(f"{name}/Cast"), to=onnx.TensorProto.FLOAT
    )
    weight.graph.node.insert(0, cast)


def _compute_in_half(model: onnx.ModelProto) -> tuple[list[str], list[SkippedNode]]:
    """Convert the main graph's nodes, with a Cast where float16 and float32 meet.

    Returns the names of the nodes that changed, and the others.
    """
    converter = HalfConverter(model)
    converter.convert()
    return converter.changed, [
        SkippedNode(node=_node_name(node), op_type=node.op_type, reason=reason)
        for node, reason in converter.skipped
    ]


def _refuse(model: onnx.ModelProto, skipped: list[SkippedNode]) -> None:
    """Raise, because nothing was changed, with the reason."""
    refuse_quantized(model)
    refuse_stored(model)
    reasons = sorted({skip.reason for skip in skipped})[:5]
    raise PassError(
        "the model has no float32 weight that can be stored as float16"
        + (f": {'; '.join(reasons)}" if reasons else "; what it holds is in node attributes"),
        code="nothing_to_compress",
    )
