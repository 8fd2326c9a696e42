"""What compression did to each weight: as it is stored against the original, worst first."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.engine.decibels import signal_to_noise_db
from worker.engine.errors import EngineError
from worker.engine.fidelity import Floats
from worker.engine.graphs import walk_graphs
from worker.engine.report.contents import LayerError
from worker.engine.runtime import open_session, run
from worker.engine.samples import Array
from worker.engine.tidying import Tidied
from worker.engine.weights.finding import STORABLE_TYPES, Weight, find_weights

MINIMUM_VALUES = 2
MAX_CHAIN_NODES = 16
VALUES_AT_ONCE = 2**16
QUANTIZED_PARTS = ("quantized", "scale", "zero_point")


def layer_errors(
    before: onnx.ModelProto, after: onnx.ModelProto, tidied: Tidied | None = None
) -> list[LayerError]:
    """Return the error of each weight that changed and can be read back from the result.

    `tidied` says what the result's values are called where they were renamed.

    A weight that became part of another, or changed its shape, is left out.
    """
    stored = StoredWeights(after, tidied or Tidied())
    errors = []
    for weight in find_weights(before, MINIMUM_VALUES, STORABLE_TYPES):
        if not weight.uses:
            continue
        original = numpy_helper.to_array(weight.tensor)
        now = stored.read(weight)
        if now is None or now.shape != original.shape or np.array_equal(now, original):
            continue
        sqnr = signal_to_noise_db(*_energies(original, now))
        node = weight.uses[0].node
        errors.append(
            LayerError(
                node=node.name or node.output[0],
                op_type=node.op_type,
                weight=weight.name,
                sqnr_db=sqnr,
            )
        )
    return sorted(errors, key=lambda error: (error.sqnr_db or 0.0, error.weight))


def _energies(original: Array, now: Array) -> tuple[float, float]:
    """Return the sums of the squares of a weight and of its error, in double precision.

    A part at a time: doubles of large weights would not fit the processor's caches.
    """
    signal = noise = 0.0
    values, others = original.reshape(-1), now.reshape(-1)
    for start in range(0, values.size, VALUES_AT_ONCE):
        part = values[start : start + VALUES_AT_ONCE].astype(np.float64)
        error = part - others[start : start + VALUES_AT_ONCE].astype(np.float64)
        signal += float(part @ part)
        noise += float(error @ error)
    return signal, noise


@dataclass(frozen=True)
class _Index:
    """Where the result's values come from, by name, over all its graphs."""

    initializers: dict[str, TensorProto]
    producers: dict[str, onnx.NodeProto]
    nodes: dict[str, onnx.NodeProto]


class StoredWeights:
    """Reads weights back from a compressed model, however they are stored."""

    def __init__(self, model: onnx.ModelProto, tidied: Tidied) -> None:
        self._tidied = tidied
        graphs = list(walk_graphs(model))
        self._model = model
        self._index = _Index(
            {tensor.name: tensor for graph in graphs for tensor in graph.initializer},
            {name: node for graph in graphs for node in graph.node for name in node.output},
            {node.name: node for graph in graphs for node in graph.node if node.name},
        )

    def read(self, weight: Weight) -> Array | None:
        """Return a weight's values as the result computes with them; None where they are gone."""
        for name in (self._tidied.name(weight.name), self._consumed_name(weight)):
            value = None if name is None else self._evaluate(name)
            if value is not None and value.dtype.kind == "f":
                return value
        return self._dequantize(weight)

    def _consumed_name(self, weight: Weight) -> str | None:
        """Return what the node of the same name reads where it read the weight."""
        use = weight.uses[0]
        node = self._index.nodes.get(use.node.name)
        if node is None or node.op_type != use.node.op_type or len(node.input) <= use.input_index:
            return None
        return str(node.input[use.input_index])

    def _evaluate(self, name: str) -> Array | None:
        """Return a value that depends on initializers only, as onnxruntime computes it."""
        if name in self._index.initializers:
            return numpy_helper.to_array(self._index.initializers[name])
        nodes: list[onnx.NodeProto] = []
        tensors: dict[str, TensorProto] = {}
        if not self._collect(name, nodes, tensors):
            return None
        graph = helper.make_graph(
            nodes, "weight", [], [onnx.ValueInfoProto(name=name)], list(tensors.values())
        )
        model = helper.make_model(
            graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version
        )
        try:
            return run(open_session(model, optimize=False), {})[0]
        except EngineError:
            return None

    def _collect(
        self, name: str, nodes: list[onnx.NodeProto], tensors: dict[str, TensorProto]
    ) -> bool:
        """Gather what a value is made from, in order; False where that is not constant."""
        if not name:
            return True
        if name in self._index.initializers:
            tensors[name] = self._index.initializers[name]
            return True
        node = self._index.producers.get(name)
        if node is None or len(nodes) >= MAX_CHAIN_NODES or not node.input:
            return False
        if node in nodes:
            return True
        if not all(self._collect(source, nodes, tensors) for source in node.input):
            return False
        nodes.append(node)
        return True

    def _dequantize(self, weight: Weight) -> Floats | None:
        """Read a weight of an integer operator, by the names onnxruntime's quantizer gives."""
        found: list[TensorProto] = []
        for base in (weight.name, f"{weight.name}_Transposed"):
            names = (self._tidied.name(f"{base}_{part}") for part in QUANTIZED_PARTS)
            parts = [self._index.initializers.get(name) for name in names if name]
            if len(parts) == len(QUANTIZED_PARTS) and None not in parts:
                found = [part for part in parts if part is not None]
        if not found:
            return None
        values, scale, zero_point = (
            numpy_helper.to_array(tensor).astype(np.float64) for tensor in found
        )
        original = numpy_helper.to_array(weight.tensor).astype(np.float64)
        candidates = list(_dequantized(values, scale, zero_point))
        # Integer operators take the weights of Gemm and LSTM transposed.
        candidates += [np.swapaxes(array, -1, -2) for array in candidates if array.ndim > 1]
        return min(
            (array for array in candidates if array.shape == original.shape),
            key=lambda array: float(np.sum((array - original) ** 2)),
            default=None,
        )


def _dequantized(values: Floats, scale: Floats, zero_point: Floats) -> Iterator[Floats]:
    """Yield what a quantized weight may stand for: its scales may lie along several axes."""
    if scale.size == 1:
        yield (values - zero_point.reshape(())) * scale.reshape(())
        return
    for axis in (axis for axis in range(values.ndim) if values.shape[axis] == scale.size):
        shape = [scale.size if a == axis else 1 for a in range(values.ndim)]
        yield (values - zero_point.reshape(shape)) * scale.reshape(shape)
