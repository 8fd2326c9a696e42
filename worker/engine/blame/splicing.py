"""Copies of nodes under other names, to put parts of both models into one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx

from worker.engine.blame.pairing import ModelPair, Pairing, Segment
from worker.engine.errors import PassError
from worker.engine.graphs import subgraphs
from worker.engine.names import NameGiver, taken_names

COMPRESSED = "compressed"


@dataclass(frozen=True)
class Copied:
    """Nodes under other names, the segment's outputs, and the new name of each value by the old."""

    nodes: list[onnx.NodeProto]
    outputs: list[str]
    names: Mapping[str, str]


class Splice:
    """A model of the original's nodes that parts of the result can be added to."""

    def __init__(self, pairing: Pairing) -> None:
        refuse_unspliceable(pairing.pair)
        self.pairing = pairing
        original, result = pairing.pair.original, pairing.pair.result
        taken = taken_names(original)
        self.names = NameGiver(set(taken))
        called = {now: name for name, now in pairing.names.items()}
        self._renamed = {
            name: called.get(name) or self.names.name(f"{name}/{COMPRESSED}")
            for name in sorted(taken_names(result))
            if name
        }
        self.model = onnx.ModelProto(ir_version=max(original.ir_version, result.ir_version))
        self.model.opset_import.extend(_opset_imports(pairing.pair))
        graph = self.model.graph
        graph.name = "splice"
        graph.input.extend(original.graph.input)
        graph.initializer.extend(original.graph.initializer)
        self.add(pairing.before.constant_nodes, {})
        for name, tensor in pairing.after.initializers.items():
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = self._renamed[name]
        self.add(pairing.after.constant_nodes, self._renamed)

    def add(self, nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
        """Add copies of nodes to the main graph."""
        self.model.graph.node.extend(copied(nodes, names))

    def of_result(self, segment: Segment) -> Copied:
        """Return a segment's compressed nodes, reading the original's values."""
        own = {
            name: self.names.name(f"{name}/{COMPRESSED}")
            for node in segment.after
            for name in node.output
            if name
        }
        outputs = [own[self.pairing.names[name]] for name in segment.outputs]
        return Copied(copied(segment.after, self._renamed | own), outputs, own)

    def fetch(self, names: Iterable[str]) -> None:
        """Make values outputs of the model, of whatever type they are."""
        known = {value.name for value in self.model.graph.output}
        self.model.graph.output.extend(
            onnx.helper.make_empty_tensor_value_info(name)
            for name in dict.fromkeys(names)
            if name not in known
        )

    def of_original(self, segment: Segment) -> Copied:
        """Return a segment's float nodes, with outputs of their own."""
        own = {
            name: self.names.name(f"{name}/float")
            for node in segment.before
            for name in node.output
            if name
        }
        outputs = [own[name] for name in segment.outputs]
        return Copied(copied(segment.before, own), outputs, own)


def refuse_unspliceable(pair: ModelPair) -> None:
    """Raise where parts of both models cannot be put into one.

    Raises:
        PassError: it says why.
    """
    for model in (pair.original, pair.result):
        if model.functions:
            raise PassError("the model has functions of its own")
        if model.graph.sparse_initializer:
            raise PassError("the model has sparse initializers")


def copied(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> list[onnx.NodeProto]:
    """Return copies without names of their own, whose values are renamed, in bodies too."""
    copies = []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.ClearField("name")
        _rename(copy, names)
        copies.append(copy)
    return copies


def _rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for body in subgraphs(node):
        body.ClearField("value_info")
        body.ClearField("quantization_annotation")
        for tensor in body.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for value in [*body.input, *body.output]:
            value.name = names.get(value.name, value.name)
        for inner in body.node:
            _rename(inner, names)


def _opset_imports(pair: ModelPair) -> list[onnx.OperatorSetIdProto]:
    """Return the opsets of both models, which have the default domain's in common."""
    versions: dict[str, int] = {}
    for model in (pair.original, pair.result):
        for opset in model.opset_import:
            domain = "" if opset.domain == "ai.onnx" else opset.domain
            versions[domain] = max(versions.get(domain, 0), opset.version)
    return [onnx.helper.make_opsetid(domain, version) for domain, version in versions.items()]
