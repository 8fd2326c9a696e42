"""Finds the constant float weights of a model, in the graph and in every subgraph."""

from collections.abc import Set
from dataclasses import dataclass, field
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.graphs import subgraphs, walk_nodes
from worker.engine.quantization.stored_integers import decoding_products
from worker.engine.quantization.working_copy import is_quantized

FLOAT_TYPES = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})
HALF_TYPES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
STORABLE_TYPES = FLOAT_TYPES | HALF_TYPES
"""Of weights that may be stored in fewer bits."""


@dataclass
class Use:
    """One node that reads a weight, at which of its inputs, and the graph that the node is in."""

    node: onnx.NodeProto
    input_index: int
    graph: onnx.GraphProto


@dataclass
class Weight:
    """An initializer, the graph that owns it, and the nodes that read it wherever they are."""

    graph: onnx.GraphProto
    tensor: onnx.TensorProto
    uses: list[Use] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The initializer's name."""
        return self.tensor.name

    @property
    def size(self) -> int:
        """The number of values."""
        return prod(self.tensor.dims)

    @property
    def is_half(self) -> bool:
        """Whether it takes 16 bits as it is."""
        return self.tensor.data_type in HALF_TYPES

    @property
    def channel_axes(self) -> tuple[int, ...] | None:
        """The axes of the output channels, or of an embedding's rows, for the first reader."""
        if not self.uses:
            return None
        node, index = self.uses[0].node, self.uses[0].input_index
        if node.op_type in {"LSTM", "GRU", "RNN"}:
            return (0, 1)
        if node.op_type == "MatMul":
            return (len(self.tensor.dims) - 1 if index == 1 else len(self.tensor.dims) - 2,)
        if node.op_type == "Gemm":
            is_transposed = any(a.name == "transB" and a.i for a in node.attribute)
            return (0,) if is_transposed or index == 0 else (1,)
        return {"Conv": (0,), "ConvTranspose": (1,), "Gather": (0,)}.get(node.op_type)

    def is_in_main_graph(self, model: onnx.ModelProto) -> bool:
        """Return whether the owner is the model's own graph, not a subgraph."""
        return self.graph is model.graph

    def is_finite(self) -> bool:
        """Return whether every value is a number: no scale fits the infinities of a mask."""
        return bool(np.isfinite(numpy_helper.to_array(self.tensor)).all())

    def only_use(self, model: onnx.ModelProto) -> Use | None:
        """Return the weight's one use, where both are in the model's own graph; else None.

        What a node in a body reads besides is not to be had by a run of the model.
        """
        if len(self.uses) != 1 or not self.is_in_main_graph(model):
            return None
        return self.uses[0] if self.uses[0].graph is model.graph else None


def find_weights(
    model: onnx.ModelProto, minimum_values: int = 1, types: Set[int] = FLOAT_TYPES
) -> list[Weight]:
    """Return the initializers of some element types that no caller can override, in graph order.

    Left out are those with fewer values than `minimum_values`, those listed as graph inputs, and
    the scales of integers that are stored already.
    """
    found: list[Weight] = []
    _visit(model.graph, {}, found)
    wanted = [w for w in found if w.size >= minimum_values and w.tensor.data_type in types]
    scales = _scale_names(model) if wanted else set()
    return [weight for weight in wanted if weight.name not in scales]


def _scale_names(model: onnx.ModelProto) -> set[str]:
    """Return what quantized operators read beside data, and what multiplies constant integers."""
    nodes = list(walk_nodes(model))
    names = {name for node in nodes if is_quantized(node) for name in node.input[1:]}
    names |= {name for node in decoding_products(model).values() for name in node.input}
    casts = [node for node in nodes if node.op_type == "Cast"]
    return names | {node.input[0] for node in casts if node.output[0] in names}


def _visit(graph: onnx.GraphProto, outer: dict[str, Weight], found: list[Weight]) -> None:
    """Collect a graph's weights and credit its nodes to the weights they read."""
    overridable = {value.name for value in graph.input}
    produced = {name for node in graph.node for name in node.output}
    scope = {k: v for k, v in outer.items() if k not in overridable and k not in produced}
    for tensor in graph.initializer:
        scope.pop(tensor.name, None)
        if tensor.data_type in STORABLE_TYPES and tensor.name not in overridable:
            weight = Weight(graph, tensor)
            scope[tensor.name] = weight
            found.append(weight)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in scope:
                scope[name].uses.append(Use(node, index, graph))
        for body in subgraphs(node):
            _visit(body, scope, found)
