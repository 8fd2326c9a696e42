"""Merging initializers that hold the same numbers."""

import hashlib
from collections import Counter

import onnx_ir as ir

from worker.engine.preparation.constants import is_constant

MINIMUM_BYTES = 1024
MINIMUM_RANK = 2

Form = tuple[str, tuple[int | str | None, ...]]
Content = tuple[Form, bytes]


def merge_duplicates(model: ir.Model) -> int:
    """Let nodes share weights of equal type, shape and bytes, also with an outer graph's.

    Left alone: vectors and small tensors. Biases that happen to be equal must be able to get
    different scales, and sharing them saves next to nothing.
    """
    forms = Counter(
        _form(value.const_value)
        for graph in model.graphs()
        for value in graph.initializers.values()
        if value.const_value is not None and _may_share(value)
    )
    repeated = {form for form, count in forms.items() if count > 1}
    return _merge(model.graph, repeated, {}) if repeated else 0


def _merge(graph: ir.Graph, repeated: set[Form], outer: dict[Content, ir.Value]) -> int:
    """Merge a graph's initializers with each other and with those of the graphs around it."""
    seen = dict(outer)
    count = 0
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or not _may_share(value) or _form(tensor) not in repeated:
            continue
        content = _form(tensor), hashlib.sha256(tensor.tobytes()).digest()
        first = seen.setdefault(content, value)
        if first is not value and not value.is_graph_output():
            value.replace_all_uses_with(first)
            del graph.initializers[name]
            count += 1
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                count += _merge(attribute.as_graph(), repeated, seen)
            elif attribute.type == ir.AttributeType.GRAPHS:
                count += sum(_merge(body, repeated, seen) for body in attribute.as_graphs())
    return count


def _may_share(value: ir.Value) -> bool:
    """Return whether an initializer is a weight large enough to share."""
    tensor = value.const_value
    return (
        tensor is not None
        and is_constant(value)
        and tensor.dtype != ir.DataType.STRING
        and len(tensor.shape) >= MINIMUM_RANK
        and tensor.nbytes >= MINIMUM_BYTES
    )


def _form(tensor: ir.TensorProtocol) -> Form:
    """Return what two tensors must have in common before it pays to compare their bytes."""
    return tensor.dtype.name, tuple(tensor.shape.numpy())
