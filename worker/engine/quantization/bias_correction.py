"""Moves the mean error that a rounded weight makes in the output of its node into the bias.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (arXiv
1906.04721): E[W x] - E[W' x] = (W - W') E[x], here with the means of samples.
"""

from collections.abc import Callable, Container, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.calibration.channels import Vector
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.graph_view import GraphView, attribute
from worker.engine.quantization.weighted_nodes import WeightedNode, weighted_node


class BiasCorrections:
    """What roundings of weights take from the mean outputs of nodes, and how biases give it back.

    Args:
        means: of the channels of a node's input, by the node.
    """

    def __init__(self, means: Mapping[str, Vector]) -> None:
        self.means = dict(means)
        self._lacking: dict[tuple[str, str], Vector] = {}

    def apply(
        self,
        model: onnx.ModelProto,
        names: Container[str],
        form: Callable[[WeightedNode], str],
        error: Callable[[WeightedNode], Vector],
    ) -> set[str]:
        """Correct the biases of the nodes that read weights of these names; return the nodes.

        Rewrites the model, whose weights are still in float, in place. `error` is the float weight
        less the rounded one; `form` tells one rounding of a weight from another.
        """
        view = GraphView(model.graph)
        nodes = [each for each in correctable(view, names) if each.node.name in self.means]
        giver = NameGiver(taken_names(model) if nodes else set())
        for each in nodes:
            key = (each.node.name, form(each))
            if key not in self._lacking:
                self._lacking[key] = lacking(each.node, error(each), self.means[each.node.name])
            name = giver.name(f"{each.bias or each.node.name}/corrected")
            _add_to_bias(each, self._lacking[key], view, name)
        return {each.node.name for each in nodes}


def correctable(view: GraphView, names: Container[str]) -> list[WeightedNode]:
    """Return the nodes that read a weight of these names and whose bias can be corrected."""
    found = []
    for node in view.graph.node:
        if node.op_type not in {"Conv", "Gemm"} or node.input[1] not in names:
            continue
        weighted = weighted_node(node, view)
        is_plain = attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0)
        if isinstance(weighted, WeightedNode) and is_plain:
            found.append(weighted)
    return found


def lacking(node: onnx.NodeProto, error: Vector, means: Vector) -> Vector:
    """Return what a node's output lacks in each channel where its weight is less by `error`."""
    if node.op_type == "Gemm":
        return np.asarray((error if attribute(node, "transB", 0) else error.T) @ means)
    groups = int(attribute(node, "group", 1))
    by_group = error.reshape(groups, error.shape[0] // groups, error.shape[1], -1).sum(axis=3)
    return np.asarray((by_group @ means.reshape(groups, -1, 1)).reshape(-1))


def _add_to_bias(weighted: WeightedNode, addition: Vector, view: GraphView, name: str) -> None:
    """Give a node a bias of its own, of this name, with something added to each channel."""
    bias = None if weighted.bias is None else view.constant(weighted.bias)
    flat = np.zeros(1) if bias is None else bias.reshape(-1).astype(np.float64)
    total = (flat + addition).astype(np.float32)
    view.graph.initializer.append(numpy_helper.from_array(total, name))
    weighted.node.input[:] = [*weighted.node.input[:2], name]
