"""Look-ups over the top-level graph of one model."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.graphs import subgraphs
from worker.engine.samples import Array


class Declined(NamedTuple):
    """A node that is left alone, and why."""

    node: onnx.NodeProto
    reason: str


class GraphView:
    """Initializers, producers and readers by name; a snapshot of a graph that is not changed."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.inputs = {value.name for value in graph.input}
        self.outputs = {value.name for value in graph.output}
        self.initializers = {
            tensor.name: tensor for tensor in graph.initializer if tensor.name not in self.inputs
        }
        self.producers = {name: node for node in graph.node for name in node.output if name}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in dict.fromkeys(names_read(node)):
                self.readers[name].append(node)

    def constant(self, name: str) -> Array | None:
        """Return an initializer's values; None for anything else."""
        tensor = self.initializers.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def is_float_constant(self, name: str) -> bool:
        """Whether a name is a float32 initializer."""
        tensor = self.initializers.get(name)
        return tensor is not None and tensor.data_type == onnx.TensorProto.FLOAT

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the one node that reads a tensor; None where more do, or it is an output."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def names_read(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that a node reads, those read inside its subgraphs included."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        for inner in graph.node:
            names += names_read(inner)
        names += [value.name for value in graph.output]
    return names


def attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    """Return a numeric attribute of a node."""
    for candidate in node.attribute:
        if candidate.name == name:
            return float(onnx.helper.get_attribute_value(candidate))
    return default


def flat_bias(bias: Array, channels: int) -> Array | None:
    """Return a bias as one value for each output channel; None where it is not one."""
    if bias.size not in {1, channels} or (bias.ndim and bias.shape[-1] != bias.size):
        return None
    return np.broadcast_to(bias.reshape(-1), (channels,)).copy()
