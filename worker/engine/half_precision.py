"""Turning a graph's float32 computation into float16, and back where it must stay float32."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.engine.graphs import DEFAULT_DOMAINS, default_opset, subgraphs
from worker.engine.model_files import without_weights
from worker.engine.names import NameGiver, taken_names
from worker.engine.runtime import bounded
from worker.engine.samples import Array

FLOAT16_MAX = 65504
SMALLEST_NORMAL = 2.0**-14
LARGEST_RELATIVE_ERROR = 0.01
SENSITIVE = {
    "CumSum", "Exp", "InstanceNormalization", "Log", "LogSoftmax", "MeanVarianceNormalization",
    "NonMaxSuppression", "Pow", "Range", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare", "RoiAlign",
    "Softplus", "Sqrt", "TopK",
}  # fmt: skip
"""Operators whose results easily leave the range of float16, or lose the digits that count."""


def why_not_half(array: Array) -> str | None:
    """Return why float16 cannot hold these numbers; None where it can.

    The relative error is |x - half(x)| / |x| over the whole array; exporters' infinities are fine.
    """
    is_finite = np.isfinite(array)
    finite = array if is_finite.all() else array[is_finite]
    largest = np.abs(finite).max(initial=0)
    if largest > FLOAT16_MAX:
        return f"holds numbers beyond {FLOAT16_MAX}"
    if 0 < largest < SMALLEST_NORMAL:
        return "holds numbers too small for float16"
    error = np.linalg.norm((finite - finite.astype(np.float16)).reshape(-1))
    if error > LARGEST_RELATIVE_ERROR * np.linalg.norm(finite.reshape(-1)):
        return "holds numbers too small for float16"
    return None


def as_half(tensor: TensorProto, name: str) -> TensorProto:
    """Return a tensor's numbers as float16, under a new name."""
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name)


@dataclass(frozen=True)
class HalfRoles:
    """Which inputs and outputs of a node become float16: their positions and type variables."""

    inputs: dict[int, str]
    outputs: set[int]

    def differ_within(self, are_floats: list[bool]) -> bool:
        """Return whether inputs of one type variable are floats in part only, as far as known."""
        return any(
            are_floats[one] != are_floats[other]
            for one, other in combinations(self.inputs, 2)
            if self.inputs[one] == self.inputs[other]
        )


class HalfConverter:
    """Converts the nodes of a model's main graph to float16 where their operators allow it.

    Every float32 value may get a float16 twin. A node that is converted reads and writes twins, any
    other the original; a Cast makes one from the other where only one is there. Graph inputs and
    outputs, and what subgraphs read, are originals.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.changed: list[str] = []
        self.skipped: list[tuple[onnx.NodeProto, str]] = []
        self._graph = model.graph
        self._opset = default_opset(model)
        self._floats = _float_values(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._names = NameGiver(taken_names(model))
        self._twins: dict[str, str] = {}
        self._twins_only: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []
        self._halves: list[TensorProto] = []

    def convert(self) -> None:
        """Rewrite the graph in place."""
        for node in list(self._graph.node):
            roles = _half_roles(node, self._opset)
            reason = self._refusal(node, roles)
            if reason is None:
                self._convert(node, roles)
                continue
            if self._reads_floats(node):
                self.skipped.append((node, reason))
            for name in _names_read(node):
                self._need_original(name)
            self._nodes.append(node)
        for value in self._graph.output:
            self._need_original(value.name)
        self._finish()

    def _reads_floats(self, node: onnx.NodeProto) -> bool:
        return any(name in self._floats for name in node.input)

    def _refusal(self, node: onnx.NodeProto, roles: HalfRoles) -> str | None:
        """Return why a node stays float32; None where it can be converted."""
        if next(subgraphs(node), None) is not None:
            return "it holds subgraphs, which stay float32"
        if node.op_type in SENSITIVE:
            return "its results easily leave the range of float16"
        if not roles.inputs:
            return "its operator has no float16 form"
        if roles.differ_within([name in self._floats or not name for name in node.input]):
            return "the types of its inputs are not known"
        return self._refusal_of_values(
            [node.input[index] for index in roles.inputs if node.input[index] in self._floats]
        )

    def _refusal_of_values(self, names: list[str]) -> str | None:
        """Return why values stay float32; None where they can be converted."""
        if not names:
            return "it reads no float32 values that float16 could hold"
        for name in names:
            if name in self._weights:
                reason = why_not_half(numpy_helper.to_array(self._weights[name]))
                if reason is not None:
                    return f"its weight {name} {reason}"
        return None

    def _convert(self, node: onnx.NodeProto, roles: HalfRoles) -> None:
        """Let a node read and write twins."""
        half = onnx.NodeProto()
        half.CopyFrom(node)
        for index, name in enumerate(node.input):
            if name in self._floats and index in roles.inputs:
                half.input[index] = self._twin(name)
            else:
                self._need_original(name)
        for index, name in enumerate(node.output):
            if name in self._floats and index in roles.outputs:
                half.output[index] = self._twins[name] = self._names.name(f"{name}.half")
                self._twins_only.add(name)
        self._nodes.append(half)
        self.changed.append(node.name or node.output[0])

    def _twin(self, name: str) -> str:
        """Return the float16 twin of a value, made now where there is none."""
        if name not in self._twins:
            self._twins[name] = twin = self._names.name(f"{name}.half")
            if name in self._weights:
                self._halves.append(as_half(self._weights[name], twin))
            else:
                self._cast(name, twin, TensorProto.FLOAT16)
        return self._twins[name]

    def _need_original(self, name: str) -> None:
        """Make the float32 original of a value that only has a twin so far."""
        if name in self._twins_only:
            self._twins_only.remove(name)
            self._cast(self._twins[name], name, TensorProto.FLOAT)

    def _cast(self, source: str, target: str, data_type: int) -> None:
        name = self._names.name(f"{target}/Cast")
        self._nodes.append(helper.make_node("Cast", [source], [target], name=name, to=data_type))

    def _finish(self) -> None:
        """Put the new nodes and the weights that are still read into the graph."""
        read = {name for node in self._nodes for name in _names_read(node)}
        read.update(value.name for value in self._graph.output)
        kept = [tensor for tensor in self._graph.initializer if tensor.name in read]
        del self._graph.node[:], self._graph.initializer[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)
        self._graph.initializer.extend([*kept, *self._halves])


def _half_roles(node: onnx.NodeProto, opset: int) -> HalfRoles:
    """Return what of a node its operator allows to be float16.

    An output follows an input of the same type variable; one whose type an attribute decides stays.
    """
    if node.domain not in DEFAULT_DOMAINS or not onnx.defs.has(node.op_type, opset):
        return HalfRoles({}, set())
    schema = onnx.defs.get_schema(node.op_type, opset)
    halvable = {
        constraint.type_param_str
        for constraint in schema.type_constraints
        if "tensor(float16)" in constraint.allowed_type_strs
    }
    inputs = _formal_types(schema.inputs, len(node.input))
    outputs = _formal_types(schema.outputs, len(node.output))
    bound = {name for name in inputs if name in halvable}
    return HalfRoles(
        {index: name for index, name in enumerate(inputs) if name in bound},
        {index for index, name in enumerate(outputs) if name in bound},
    )


def _formal_types(formals: Iterable[onnx.defs.OpSchema.FormalParameter], count: int) -> list[str]:
    """Return the type variable of each of a node's inputs or outputs; the last may repeat."""
    names = [formal.type_str for formal in formals]
    return [names[min(index, len(names) - 1)] for index in range(count if names else 0)]


def _names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names a node reads, also from inside its subgraphs."""
    yield from node.input
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from _names_read(inner)
        yield from (value.name for value in graph.output)


def _float_values(model: onnx.ModelProto) -> set[str]:
    """Return the names of the main graph's float32 tensors, as far as inference knows them."""
    outline, _ = without_weights(model)
    with bounded("inferring types"):
        inferred = onnx.shape_inference.infer_shapes(outline).graph
    values = [*inferred.input, *inferred.output, *inferred.value_info]
    floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return floats | {t.name for t in inferred.initializer if t.data_type == TensorProto.FLOAT}
