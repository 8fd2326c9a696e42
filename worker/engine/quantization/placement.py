"""Decides which tensors of a graph become integers; knows no ranges and writes nothing."""

from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass, field

import onnx

from worker.engine.quantization.graph_view import Declined, GraphView
from worker.engine.quantization.weighted_nodes import (
    WEIGHTED_OP_TYPES,
    WeightedNode,
    weighted_node,
)

ABSORBED_OP_TYPES = ("Relu", "Clip")
"""Their work is done by the range of the integers that follow."""
MOVING_OP_TYPES = (
    "DepthToSpace", "Flatten", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
"""They pass values on unchanged, so their output has the scale of their input."""
COMPUTING_OP_TYPES = (
    "Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Resize", "Sigmoid",
    "Softmax",
)  # fmt: skip
"""They compute new values from integers, and round the result again."""


@dataclass
class Placement:
    """What becomes an integer.

    `tensors` are activations with a range of their own, `shared` those that take the scale of
    another, `absorbed` the nodes whose work the range of their output does.
    """

    weighted: list[WeightedNode] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    shared: dict[str, str] = field(default_factory=dict)
    absorbed: list[onnx.NodeProto] = field(default_factory=list)
    joined: list[onnx.NodeProto] = field(default_factory=list)
    """Nodes without a weight of their own that work on integers."""
    declined: list[Declined] = field(default_factory=list)

    @property
    def changed_names(self) -> list[str]:
        """The names of the nodes that work on integers, or that integers replace."""
        return [
            *(weighted.node.name for weighted in self.weighted),
            *(node.name for node in [*self.joined, *self.absorbed]),
        ]

    def sources(self, known: Container[str]) -> dict[str, str]:
        """Return each activation to round and the one whose scale it has, of the scales known."""
        sources = {name: name for name in self.tensors} | self.shared
        return {name: root for name, root in sources.items() if root in known}


def place(view: GraphView, chosen: Collection[str], *, absorb: bool) -> Placement:
    """Return what becomes an integer when the nodes of these names are quantized.

    Args:
        view: the graph, each of whose nodes has a name of its own.
        chosen: names of nodes.
        absorb: whether a Relu or Clip may become the range of an activation.
    """
    placement = Placement()
    nodes = [node for node in view.graph.node if node.name in chosen]
    placement.weighted, placement.declined = place_weights(nodes, view)
    wanted: dict[str, None] = {}
    for weighted in placement.weighted:
        wanted[weighted.activation] = None
        if weighted.node.op_type in {"Conv", "ConvTranspose"}:
            wanted[weighted.node.output[0]] = None
    _place_computing(nodes, view, placement, wanted)
    if absorb:
        _absorb(nodes, view, placement, wanted)
    _place_movers(nodes, placement, wanted)
    placement.tensors = [name for name in wanted if name not in placement.shared]
    _explain_the_rest(nodes, placement)
    return placement


def place_weights(
    nodes: Iterable[onnx.NodeProto], view: GraphView
) -> tuple[list[WeightedNode], list[Declined]]:
    """Return the nodes whose weight can be stored as integers, and why others cannot."""
    found: dict[str, WeightedNode] = {}
    taken: list[WeightedNode] = []
    declined: list[Declined] = []
    for node in nodes:
        if node.op_type in WEIGHTED_OP_TYPES:
            result = weighted_node(node, view)
            if isinstance(result, str):
                declined.append(Declined(node, result))
            else:
                found[node.name] = result
    for weighted in found.values():
        problem = _sharing_problem(weighted, found, view)
        if problem is None:
            taken.append(weighted)
        else:
            declined.append(Declined(weighted.node, problem))
    return taken, declined


def _sharing_problem(
    weighted: WeightedNode, found: dict[str, WeightedNode], view: GraphView
) -> str | None:
    """Return why a weight that others read too must stay float."""
    if weighted.weight in view.outputs:
        return f"its weight {weighted.weight} is a graph output"
    for reader in view.readers[weighted.weight]:
        other = found.get(reader.name)
        if other is None or other.weight != weighted.weight:
            return (
                f"its weight {weighted.weight} is also read by {reader.name}, which stays in float"
            )
        if other.channel_axis != weighted.channel_axis:
            return f"its weight {weighted.weight} is also read by {reader.name}, along another axis"
    return None


def _place_computing(
    nodes: Iterable[onnx.NodeProto],
    view: GraphView,
    placement: Placement,
    wanted: dict[str, None],
) -> None:
    for node in nodes:
        if node.op_type in COMPUTING_OP_TYPES:
            count = 1 if node.op_type == "Resize" else len(node.input)
            read = [name for name in node.input[:count] if name not in view.initializers]
            wanted.update(dict.fromkeys([*read, node.output[0]]))
            placement.joined.append(node)


def _absorb(
    nodes: Iterable[onnx.NodeProto],
    view: GraphView,
    placement: Placement,
    wanted: dict[str, None],
) -> None:
    """Move an activation's range behind the Relu or Clip that alone reads it."""
    producers = {weighted.node.output[0] for weighted in placement.weighted}
    for node in nodes:
        if node.op_type not in ABSORBED_OP_TYPES or node.input[0] not in producers:
            continue
        is_rounded = node.input[0] in wanted or node.output[0] in wanted
        if is_rounded and view.only_reader(node.input[0]) is node and _holds_zero(node, view):
            wanted.pop(node.input[0], None)
            wanted[node.output[0]] = None
            placement.absorbed.append(node)


def _holds_zero(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether the node's output may be 0, which every integer range holds."""
    if node.op_type == "Relu":
        return True
    for index, sign in ((1, -1), (2, 1)):
        if len(node.input) > index and node.input[index]:
            bound = view.constant(node.input[index])
            if bound is None or float(bound.reshape(-1)[0]) * sign < 0:
                return False
    return True


def _place_movers(
    nodes: Iterable[onnx.NodeProto], placement: Placement, wanted: dict[str, None]
) -> None:
    """Let nodes that only move values pass integers on, where integers come in and are used."""
    read = {name for node in nodes for name in node.input}
    for node in nodes:
        is_moving = node.op_type in MOVING_OP_TYPES and len(node.output) == 1
        if is_moving and node.input[0] in wanted and node.output[0] in read:
            source = node.input[0]
            placement.shared[node.output[0]] = placement.shared.get(source, source)
            wanted[node.output[0]] = None
            placement.joined.append(node)


def _explain_the_rest(nodes: Iterable[onnx.NodeProto], placement: Placement) -> None:
    explained = {each.node.name for each in placement.declined} | set(placement.changed_names)
    for node in nodes:
        if node.name not in explained:
            placement.declined.append(Declined(node, "it neither follows nor feeds integer nodes"))
