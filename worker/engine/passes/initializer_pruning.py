"""Unstructured pruning: the weights of least magnitude become zero."""

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from pydantic import Field, model_validator
from typing_extensions import override

from worker.engine.errors import PassError
from worker.engine.graphs import DEFAULT_DOMAINS, walk_nodes
from worker.engine.passes.base import Pass, PassContext, PassResult, SkippedNode
from worker.engine.passes.node_selection import NodePatterns, matching_names
from worker.engine.quantization.working_copy import refuse_quantized, refuse_stored
from worker.engine.weights.finding import Weight, find_weights

Floats = npt.NDArray[np.floating]
PrunedOpType = Literal["Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"]
WEIGHT_INPUTS: dict[str, tuple[int, ...]] = {
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
}
"""Where each operator reads weights; what it reads elsewhere, such as a bias, is never pruned."""


class InitializerPruning(Pass):
    """Sets the weights of least magnitude to zero.

    The file keeps its size, since zeros are stored like any number, and dense kernels run no
    faster: what shrinks is the deflated or zstd-compressed model, for storage and transfer.
    Without fine-tuning afterwards, most models stand a sparsity of 0.1, some 0.3.
    """

    method: Literal["initializer_pruning"] = "initializer_pruning"
    shrinks: ClassVar[Literal["size_bytes", "deflated_bytes"]] = "deflated_bytes"

    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the weights that become zero; exactly one of `sparsity` and `threshold` is given."""
    threshold: Annotated[float, Field(gt=0)] | None = None
    """Weights of a magnitude below this become zero."""
    scope: Literal["global", "per_layer"] = "global"
    """Whether `sparsity` holds over all weights together, where layers that suffer less give more
    (LAMP), or in each weight by itself."""
    op_types_to_prune: Annotated[tuple[PrunedOpType, ...], Field(min_length=1)] = (
        "Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN",
    )  # fmt: skip
    """Operators whose weights are pruned."""
    nodes_to_exclude: NodePatterns = ()
    """Never the weights of these nodes: names, or patterns with `*`, `?` and `[...]`."""
    minimum_values: Annotated[int, Field(ge=1)] = 256
    """Weights with fewer values are left alone."""

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if (self.sparsity is None) == (self.threshold is None):
            raise ValueError("give exactly one of sparsity and threshold")
        return self

    @classmethod
    @override
    def foreseen(cls) -> tuple[Self, ...]:
        return (cls(sparsity=0.3),)

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        weights, skipped = self._choose(copy)
        if not weights:
            refuse_quantized(copy)
            if not skipped:
                refuse_stored(copy)
            raise PassError(_nothing(skipped, self.minimum_values), code="nothing_to_compress")
        pruned = zeros = values = 0
        counts = self._counts([numpy_helper.to_array(weight.tensor) for weight in weights])
        for index, (weight, count) in enumerate(zip(weights, counts, strict=True)):
            array = numpy_helper.to_array(weight.tensor).copy()
            smallest = _smallest(np.abs(array), count)
            pruned += int(np.count_nonzero(array[smallest]))
            array[smallest] = 0
            zeros, values = zeros + int(np.sum(array == 0)), values + array.size
            weight.tensor.CopyFrom(numpy_helper.from_array(array, weight.name))
            context.report_progress("compressing", (index + 1) / len(weights))
        if not pruned:
            raise PassError(
                "no weight is small enough to prune; raise sparsity or threshold",
                code="nothing_to_compress",
            )
        changed = dict.fromkeys(_node_name(use.node) for w in weights for use in w.uses)
        return PassResult(copy, list(changed), skipped, [_note(zeros, values)])

    def _choose(self, model: onnx.ModelProto) -> tuple[list[Weight], list[SkippedNode]]:
        """Return the weights to prune, and the nodes whose weights are left alone."""
        names = [_node_name(node) for node in walk_nodes(model)]
        excluded = matching_names(self.nodes_to_exclude, names, "nodes_to_exclude")
        chosen: list[Weight] = []
        skipped: list[SkippedNode] = []
        for weight in find_weights(model, self.minimum_values):
            reason = self._refusal(weight, excluded)
            if reason is None:
                chosen.append(weight)
                continue
            skipped.extend(
                SkippedNode(node=_node_name(use.node), op_type=use.node.op_type, reason=reason)
                for use in weight.uses
            )
        return chosen, skipped

    def _refusal(self, weight: Weight, excluded: set[str]) -> str | None:
        """Return why a weight is left alone; None where it is pruned."""
        for use in weight.uses:
            op_type = use.node.op_type
            if op_type not in self.op_types_to_prune or use.node.domain not in DEFAULT_DOMAINS:
                return f"its weight {weight.name} is read by {op_type}, which is not pruned"
            if use.input_index not in WEIGHT_INPUTS[op_type]:
                return f"{weight.name} is no weight of {op_type}"
            if _node_name(use.node) in excluded:
                return f"its weight {weight.name} is excluded by nodes_to_exclude"
        return None if weight.uses else f"nothing reads {weight.name}"

    def _counts(self, weights: Sequence[Floats]) -> list[int]:
        """Return how many values of each weight become zero."""
        if self.sparsity is None:
            return [int(np.sum(np.abs(weight) < (self.threshold or 0))) for weight in weights]
        if self.scope == "per_layer":
            return [round(self.sparsity * weight.size) for weight in weights]
        return _lamp_counts(weights, self.sparsity)


def _lamp_counts(weights: Sequence[Floats], sparsity: float) -> list[int]:
    """Spread a sparsity over weights by their LAMP scores (Lee et al., arXiv 2010.07611).

    The score of a value is its square over the sum of all squares in its weight that are not
    smaller, so that no layer is emptied because its numbers happen to be small.
    """
    scores = [_lamp_scores(weight) for weight in weights]
    merged = np.concatenate(scores)
    count = round(sparsity * merged.size)
    if count == 0:
        return [0] * len(weights)
    limit = np.partition(merged, count - 1)[count - 1]
    return [int(np.searchsorted(each, limit, side="right")) for each in scores]


def _lamp_scores(weight: Floats) -> npt.NDArray[np.float32]:
    """Return the scores of one weight's values, in rising order."""
    with np.errstate(all="ignore"):  # a weight may hold NaN or infinity
        squares = np.sort(np.square(weight.astype(np.float64)), axis=None)
        not_smaller = np.cumsum(squares[::-1])[::-1]
        scores = squares / np.maximum(not_smaller, np.finfo(np.float64).tiny)
    return np.asarray(scores, np.float32)


def _smallest(magnitudes: Floats, count: int) -> npt.NDArray[np.bool_]:
    """Return which values are the smallest ones; of equal values, the first."""
    if count == 0:
        return np.zeros(magnitudes.shape, np.bool_)
    limit = np.partition(magnitudes, count - 1, axis=None)[count - 1]
    mask = np.asarray(magnitudes < limit)
    ties = np.flatnonzero(magnitudes == limit)[: count - np.count_nonzero(mask)]
    mask.reshape(-1)[ties] = True
    return mask


def _node_name(node: onnx.NodeProto) -> str:
    return node.name or next(iter(node.output), node.op_type)


def _nothing(skipped: Iterable[SkippedNode], minimum_values: int) -> str:
    reasons = sorted({skip.reason for skip in skipped})[:5]
    why = "; ".join(reasons) or "no Conv, Gemm, MatMul or recurrent node reads such a constant"
    return f"no weight of {minimum_values} values or more can be pruned: {why}"


def _note(zeros: int, values: int) -> str:
    return (
        f"{zeros} of {values} weights ({zeros / values:.1%}) are zero: the deflated and zstd sizes "
        "show it, while the raw file and the speed of dense kernels stay as they were"
    )
