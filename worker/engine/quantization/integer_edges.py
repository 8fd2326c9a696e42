"""What it takes to compute a node in integers: the edges it rounds and the kernels it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from worker.engine.quantization.graph_view import GraphView, names_read
from worker.engine.quantization.kernel_times import KernelTimes
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.weighted_nodes import WeightedNode

FLOAT_KERNELS = {
    "Conv", "ConvTranspose", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul",
}  # fmt: skip
"""Where one of these has the name of a quantized node, onnxruntime did not fuse the node."""


@dataclass
class RoundedEdge:
    """Activations of one scale, and the nodes with weights between which they pass."""

    name: str
    producer: str | None = None
    readers: list[str] = field(default_factory=list)
    is_read_in_float: bool = False


@dataclass(frozen=True)
class NodeTimes:
    """Seconds that a node and what only follows it take in float and in integers."""

    in_float: float
    in_integers: float
    is_fused: bool


@dataclass(frozen=True)
class ModelTimes:
    """The times of each node with a weight, and of all other kernels of both forms."""

    nodes: dict[str, NodeTimes]
    others_in_float: float
    others_in_integers: float


def rounded_edges(placement: Placement, view: GraphView) -> dict[str, RoundedEdge]:
    """Return the edges of a placement by the activation whose scale they have."""
    roots = {name: name for name in placement.tensors} | placement.shared
    outlets = {node.input[0]: node.output[0] for node in placement.absorbed}
    edges = {root: RoundedEdge(root) for root in roots.values()}
    integer_nodes = {*placement.changed_names}
    for weighted in placement.weighted:
        name, output = weighted.node.name, weighted.node.output[0]
        edges[roots[weighted.activation]].readers.append(name)
        root = roots.get(outlets.get(output, output))
        if root is not None:
            edges[root].producer = name
    for name, root in roots.items():
        readers = {node.name for node in view.readers.get(name, [])}
        if name in view.outputs or not readers <= integer_nodes:
            edges[root].is_read_in_float = True
    return edges


def model_times(
    placement: Placement, view: GraphView, in_float: KernelTimes, in_integers: KernelTimes
) -> ModelTimes:
    """Return the times of each node with a weight, by node name, and of what is left.

    An activation that is one kernel with the node in one form may be kernels of its own in the
    other, so what follows the node and reads nothing else counts with it.
    """
    found: dict[str, NodeTimes] = {}
    with_weights = {weighted.node.name for weighted in placement.weighted}
    for weighted in placement.weighted:
        chain = _followers(weighted, view, with_weights)
        kernel = in_integers.find([weighted.node.name, *weighted.node.output])
        is_fused = kernel is not None and in_integers.op_types[kernel] not in FLOAT_KERNELS
        found[weighted.node.name] = NodeTimes(
            sum(in_float.seconds.get(name, 0.0) for name in chain),
            sum(in_integers.seconds.get(name, 0.0) for name in chain),
            is_fused,
        )
    return ModelTimes(
        found,
        in_float.total - sum(each.in_float for each in found.values()),
        in_integers.total - sum(each.in_integers for each in found.values()),
    )


def _followers(weighted: WeightedNode, view: GraphView, others: set[str]) -> dict[str, None]:
    """Return the names of a node, of those behind it that read nothing else, and their outputs.

    They end at nodes with weights of their own, `others`. Names of kernels come from either.
    """
    values: Mapping[str, None] = dict.fromkeys(weighted.node.output)
    names: dict[str, None] = {weighted.node.name: None, **values}
    inside, waiting = set(values), list(values)
    while waiting:
        for node in view.readers.get(waiting.pop(), []):
            is_new = node.name not in names and node.name not in others
            if is_new and _reads_only(node, inside, view):
                names |= {node.name: None, **dict.fromkeys(node.output)}
                inside |= set(node.output)
                waiting += node.output
    return names


def _reads_only(node: onnx.NodeProto, inside: set[str], view: GraphView) -> bool:
    return all(name in inside or name in view.initializers for name in names_read(node))
