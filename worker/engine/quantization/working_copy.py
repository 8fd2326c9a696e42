"""Before and after: a model's copy to rewrite, and the models that cannot be quantized."""

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

from worker.engine.errors import PassError
from worker.engine.graphs import DEFAULT_DOMAINS, walk_graphs, walk_nodes
from worker.engine.quantization.stored_integers import decoding_products

if TYPE_CHECKING:
    # The passes import this module, so it cannot import their package.
    from worker.engine.passes.base import SkippedNode

MICROSOFT = "com.microsoft"
QUANTIZED_OP_TYPES = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
    "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulNBits",
    "MatMulBnb4", "QAttention", "QGemm", "QEmbedLayerNormalization", "GatherBlockQuantized",
}  # fmt: skip
QUANTIZED_PREFIX = "QLinear"
OP_TYPES_WITH_WEIGHTS = {
    "Conv", "ConvTranspose", "Einsum", "Gather", "Gemm", "GRU", "LSTM", "MatMul", "RNN",
}  # fmt: skip
HALF_NAMES: dict[int, str] = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
EXAMPLES = 3
REASONS = 6


def working_copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose top-level nodes each have a name of their own.

    Raises:
        PassError: the model is quantized already.
    """
    refuse_quantized(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    name_nodes(copy)
    return copy


def name_nodes(model: onnx.ModelProto) -> None:
    """Give each top-level node that lacks one, or shares it, a name of its own."""
    taken = {node.name for node in model.graph.node}
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = _free_name(f"{node.name or node.op_type}_{index}", taken)
            taken.add(node.name)
        seen.add(node.name)


def refuse_quantized(model: onnx.ModelProto) -> None:
    """Raise where a model holds quantized operators."""
    found = [node for node in walk_nodes(model) if is_quantized(node)]
    if found:
        named = ", ".join(
            f"{node.name or node.output[0]} ({node.op_type})" for node in found[:EXAMPLES]
        )
        raise PassError(
            f"the model is quantized already: it has {len(found)} quantized nodes, such as "
            f"{named}; upload the float model it was made from",
            code="already_quantized",
        )


def refuse_stored(model: onnx.ModelProto) -> None:
    """Raise where a model without float32 weights worth a method's while has smaller ones.

    Raises:
        PassError: they are integers with scales, or float16.
    """
    refuse_stored_integers(model)
    found = [
        tensor
        for graph in walk_graphs(model)
        for tensor in graph.initializer
        if tensor.data_type in HALF_NAMES and len(tensor.dims)
    ]
    if found:
        kind = HALF_NAMES[found[0].data_type]
        raise PassError(
            f"the model's weights are {kind} already, {len(found)} of them, such as "
            f"{found[0].name}; upload the float32 model it was made from, or try "
            "weight_quantization",
            code="already_quantized",
        )


def refuse_stored_integers(model: onnx.ModelProto) -> None:
    """Raise where a model stores weights as integers that a Cast and a Mul decode."""
    names = list(decoding_products(model))
    if names:
        raise PassError(
            f"the model's weights are stored as integers already, {len(names)} of them, such as "
            f"{names[0]}; upload the float model it was made from",
            code="already_quantized",
        )


def refuse_unchanged(
    model: onnx.ModelProto, changed: Sized, skipped: Sequence["SkippedNode"]
) -> None:
    """Raise where no weight would be quantized, with the reasons."""
    if len(changed):
        return
    refuse_stored(model)
    reasons: dict[str, list[str]] = {}
    for skip in skipped:
        reasons.setdefault(f"{skip.op_type}: {skip.reason}", []).append(skip.node)
    named = "; ".join(
        f"{len(nodes)} {reason} ({nodes[0]}{', ...' if len(nodes) > 1 else ''})"
        for reason, nodes in sorted(reasons.items(), key=_importance)[:REASONS]
    )
    raise PassError(
        "the model has no float weight that is worth storing as integers; leave it as it is. Left "
        f"alone: {named or 'no nodes'}",
        code="nothing_to_compress",
    )


def _importance(item: tuple[str, list[str]]) -> tuple[bool, int]:
    """Sort reasons of nodes that have weights first, then the most frequent."""
    reason, nodes = item
    return reason.split(":")[0] not in OP_TYPES_WITH_WEIGHTS, -len(nodes)


def is_quantized(node: onnx.NodeProto) -> bool:
    """Return whether a node computes with, or turns to and from, quantized integers."""
    if node.op_type.startswith(QUANTIZED_PREFIX):
        return True
    is_known = node.domain in {*DEFAULT_DOMAINS, MICROSOFT}
    return is_known and node.op_type in QUANTIZED_OP_TYPES


def is_quantized_operator(name: str) -> bool:
    """Return whether an operator, called as `op_counts` does, computes with quantized integers."""
    op_type = name.removeprefix(f"{MICROSOFT}:")
    return op_type.startswith(QUANTIZED_PREFIX) or op_type in QUANTIZED_OP_TYPES


def _free_name(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted
