"""Merging initializers that hold the same numbers."""

import hashlib

import onnx_ir as ir

from worker.engine.preparation.constants import array_of

MINIMUM_BYTES = 1024
MINIMUM_RANK = 2

Key = tuple[str, tuple[int, ...], bytes]


def merge_duplicates(model: ir.Model) -> int:
    """Let nodes share weights of equal type, shape and bytes, also with an outer graph's.

    Left alone: vectors and small tensors. Biases that happen to be equal must be able to get
    different scales, and sharing them saves next to nothing.
    """
    return _merge(model.graph, {})


def _merge(graph: ir.Graph, outer: dict[Key, ir.Value]) -> int:
    seen = dict(outer)
    count = 0
    for name, value in list(graph.initializers.items()):
        key = _key(value)
        if key is None:
            continue
        first = seen.setdefault(key, value)
        if first is not value and not value.is_graph_output():
            value.replace_all_uses_with(first)
            del graph.initializers[name]
            count += 1
    for node in graph:
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                count += _merge(attribute.as_graph(), seen)
            elif attribute.type == ir.AttributeType.GRAPHS:
                count += sum(_merge(body, seen) for body in attribute.as_graphs())
    return count


def _key(value: ir.Value) -> Key | None:
    """Return what makes two weights the same; None for a tensor that is left alone."""
    array = array_of(value)
    tensor = value.const_value
    if array is None or tensor is None:
        return None
    if array.ndim < MINIMUM_RANK or tensor.nbytes < MINIMUM_BYTES:
        return None
    digest = hashlib.sha256(tensor.tobytes()).digest()
    return tensor.dtype.name, tuple(array.shape), digest
