"""The float model and the compressed one, cut into pieces that begin and end at the same values."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

import onnx

from worker.engine.blame.fingerprints import Fingerprints, of_tensor
from worker.engine.model_files import tensor_bytes
from worker.engine.quantization.graph_view import names_read
from worker.engine.tidying import Tidied

MAX_REPEATS = 4
"""How many times the nodes of a graph the nodes of all its pieces together may be."""


Piece = tuple[list[onnx.NodeProto], list[str]]
"""Nodes of the original, and the values that they are there for."""


@dataclass(frozen=True)
class ModelPair:
    """The prepared model and the result, and what the result calls the former's values.

    Every top-level node of the original has a name of its own.
    """

    original: onnx.ModelProto
    result: onnx.ModelProto
    tidied: Tidied = field(default_factory=Tidied)


@dataclass(frozen=True)
class Segment:
    """What computes some values in both models, from values that both models have.

    Args:
        node: the original's node that has most weights, or computes the values.
        before: the original's nodes, in order.
        after: the result's nodes, in order, under the result's names.
        outputs: the values, under the original's names.
    """

    node: onnx.NodeProto
    before: list[onnx.NodeProto]
    after: list[onnx.NodeProto]
    outputs: list[str]
    is_changed: bool

    @property
    def name(self) -> str:
        """The name of the node that stands for all."""
        return str(self.node.name)


class Side:
    """One of the two graphs: who computes what, and what is constant."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.inputs = {value.name for value in graph.input}
        self.initializers = {t.name: t for t in graph.initializer if t.name not in self.inputs}
        self.position = {id(node): index for index, node in enumerate(self.nodes)}
        self.producers = {name: node for node in self.nodes for name in node.output if name}
        self.constants = set(self.initializers)
        self.constant_nodes: list[onnx.NodeProto] = []
        for node in self.nodes:
            read = names_read(node)
            if (read or node.op_type == "Constant") and self.constants.issuperset(read):
                self.constant_nodes.append(node)
                self.constants.update(name for name in node.output if name)

    def between(self, values: Iterable[str], cuts: Collection[str]) -> list[onnx.NodeProto]:
        """Return the nodes that compute values from the cuts, inputs and constants, in order."""
        found: dict[int, onnx.NodeProto] = {}
        waiting = [(name, True) for name in values]
        while waiting:
            name, is_wanted = waiting.pop()
            node = self.producers.get(name)
            is_known = not is_wanted and (name in cuts or name in self.constants)
            if node is None or is_known or id(node) in found:
                continue
            found[id(node)] = node
            waiting += [(each, False) for each in names_read(node)]
        return sorted(found.values(), key=lambda node: self.position[id(node)])


class Pairing:
    """Both graphs, the values that both have, and the segments between those.

    Args:
        pair: the models.
        parted: values that go by one name in both models but do not mean the same.
    """

    def __init__(self, pair: ModelPair, parted: Collection[str] = ()) -> None:
        self.pair = pair
        self.before = Side(pair.original.graph)
        self.after = Side(pair.result.graph)
        self.names = self._common_values(parted)
        self.segments = self._segments()

    @property
    def changed(self) -> list[Segment]:
        """The segments that compression changed."""
        return [segment for segment in self.segments if segment.is_changed]

    def inputs_of(self, segment: Segment) -> list[str]:
        """Return the computed values that a segment of the original reads from others."""
        return self._read_by(segment.before)

    def _read_by(self, nodes: list[onnx.NodeProto]) -> list[str]:
        own = {name for node in nodes for name in node.output}
        read = dict.fromkeys(name for node in nodes for name in names_read(node))
        return [n for n in read if n not in own and n in self.before.producers and n in self.names]

    def _common_values(self, parted: Collection[str]) -> dict[str, str]:
        """Return the values that both graphs compute, as each calls them."""
        names = {value.name: value.name for value in self.pair.original.graph.input}
        names |= {value.name: value.name for value in self.pair.original.graph.output}
        for node in self.before.nodes:
            for name in filter(None, node.output):
                called = self.pair.tidied.name(name)
                if called in self.after.producers and name not in parted:
                    names[name] = called
        constants = self.before.constants | {
            name for name, called in names.items() if called in self.after.constants
        }
        return {name: called for name, called in names.items() if name not in constants}

    def _segments(self) -> list[Segment]:
        """Return the segments, each behind those it reads; none where they overlap much."""
        outputs = [[n for n in node.output if n in self.names] for node in self.before.nodes]
        pieces = _joined(
            [(self.before.between(some, self.names), some) for some in outputs if some]
        )
        cuts = set(self.names.values())
        digests = [self._fingerprints(side) for side in (self.before, self.after)]
        segments: list[Segment] = []
        for nodes, values in self._in_order(pieces):
            before = sorted(nodes, key=lambda node: self.before.position[id(node)])
            called = [self.names[name] for name in values]
            after = self.after.between(called, cuts)
            is_changed = _digests(digests[0], before, values) != _digests(digests[1], after, called)
            segments.append(Segment(self._main(before), before, after, values, is_changed))
        repeated = sum(len(each.before) + len(each.after) for each in segments)
        limit = len(self.before.nodes) + len(self.after.nodes)
        return segments if repeated <= MAX_REPEATS * limit else []

    def _in_order(self, pieces: list[Piece]) -> list[Piece]:
        """Return the pieces, each behind those it reads; those that read each other become one."""
        while True:
            by_output = {name: i for i, (_, values) in enumerate(pieces) for name in values}
            reads = {
                index: {by_output[name] for name in self._read_by(nodes) if name in by_output}
                for index, (nodes, _) in enumerate(pieces)
            }
            try:
                return [pieces[index] for index in TopologicalSorter(reads).static_order()]
            except CycleError as error:
                circle = set(error.args[1])
                joined: Piece = (
                    [node for index in sorted(circle) for node in pieces[index][0]],
                    [name for index in sorted(circle) for name in pieces[index][1]],
                )
                others = [piece for i, piece in enumerate(pieces) if i not in circle]
                pieces = [joined, *others]

    def _fingerprints(self, side: Side) -> dict[str, str]:
        """Return the digests of a side's constants and of the values that both have."""
        is_before = side is self.before
        cuts = {(n if is_before else called): f"value {n}" for n, called in self.names.items()}
        stored = {name: of_tensor(tensor) for name, tensor in side.initializers.items()}
        computed = Fingerprints(stored)
        computed.add(side.constant_nodes)
        return {name: computed.of(name) for name in side.constants} | cuts

    def _main(self, nodes: list[onnx.NodeProto]) -> onnx.NodeProto:
        """Return the node with most weights, the last one where there are none."""
        return max(
            nodes,
            key=lambda node: (self._weight_bytes(node), self.before.position[id(node)]),
        )

    def _weight_bytes(self, node: onnx.NodeProto) -> int:
        found = (self.before.initializers.get(name) for name in names_read(node))
        return sum(tensor_bytes(tensor) for tensor in found if tensor is not None)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with those made one that have a node in common."""
    owner: dict[int, Piece] = {}
    for nodes, values in pieces:
        found = {id(owner[id(node)]): owner[id(node)] for node in nodes if id(node) in owner}
        joined: Piece = ([], [])
        for more_nodes, more_values in [*found.values(), (nodes, values)]:
            known = set(map(id, joined[0]))
            joined[0].extend(node for node in more_nodes if id(node) not in known)
            joined[1].extend(more_values)
        owner |= {id(node): joined for node in joined[0]}
    return list({id(piece): piece for piece in owner.values()}.values())


def _digests(
    known: Mapping[str, str], nodes: list[onnx.NodeProto], outputs: list[str]
) -> list[str]:
    """Return the digests of a segment's outputs, from what is known outside it."""
    prints = Fingerprints(known)
    prints.add(nodes)
    return [prints.of(name) for name in outputs]
