"""What a value is computed by, as one digest: equal digests mean equal computations."""

import hashlib
from collections import ChainMap
from collections.abc import Iterable, Mapping

import onnx
from onnx import AttributeProto, numpy_helper

from worker.engine.graphs import DEFAULT_DOMAINS

GRAPH_TYPES = {AttributeProto.GRAPH, AttributeProto.GRAPHS}


class Fingerprints:
    """Digests of the values of one graph, whatever they are called in it.

    `known` are the digests of what the graph reads: inputs, constants and values cut off.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._own: dict[str, str] = {}

    def add(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Take in nodes in topological order."""
        for node in nodes:
            digest = self._of_node(node)
            for index, name in enumerate(node.output):
                if name:
                    self._own[name] = _digest("output", digest, str(index))

    def of(self, name: str) -> str:
        """Return the digest of a value; of an unknown one, that of its name."""
        return self._own.get(name) or self._known.get(name) or _digest("unknown", name)

    def _of_node(self, node: onnx.NodeProto) -> str:
        parts = ["" if node.domain in DEFAULT_DOMAINS else node.domain, node.op_type]
        parts += [self.of(name) if name else "" for name in node.input]
        for attribute in sorted(node.attribute, key=lambda each: each.name):
            parts.append(attribute.name)
            if attribute.type in GRAPH_TYPES:
                parts += [self._of_body(g) for g in (*attribute.graphs, attribute.g)]
            else:
                parts.append(attribute.SerializeToString(deterministic=True).hex())
        return _digest(*parts)

    def _of_body(self, graph: onnx.GraphProto) -> str:
        """Return the digest of a nested graph, whose values see those around it."""
        arguments = {v.name: _digest("argument", str(i)) for i, v in enumerate(graph.input)}
        constants = {tensor.name: of_tensor(tensor) for tensor in graph.initializer}
        inner = Fingerprints(ChainMap(arguments, constants, self._own, dict(self._known)))
        inner.add(graph.node)
        return _digest("body", *(inner.of(value.name) for value in graph.output))


def of_tensor(tensor: onnx.TensorProto) -> str:
    """Return the digest of a constant."""
    if tensor.data_type == onnx.TensorProto.STRING:
        data = b"\0".join(tensor.string_data)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        data = numpy_helper.to_array(tensor).tobytes()
    return _digest("constant", str(tensor.data_type), str(list(tensor.dims)), _hash(data))


def _digest(*parts: str) -> str:
    return _hash("\0".join(parts).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
