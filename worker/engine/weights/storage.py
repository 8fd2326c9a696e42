"""Writes a weight as packed integers and the nodes that turn it back into floats.

Folded, the nodes are Cast, Mul and Reshape on initializers, which onnxruntime folds into a float
constant when it loads the model: the file is small, and the computation and its speed stay those of
fp32. Native, they are one DequantizeLinear, which onnxruntime joins with the MatMul or Gemm behind
it into MatMulNBits: that reads the packed integers themselves, which pays for few rows.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from worker.engine.graphs import walk_graphs
from worker.engine.half_precision import as_half
from worker.engine.names import NameGiver
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid
from worker.engine.weights.scales import scale_tensor

INTEGER_TYPES = {8: TensorProto.INT8, 4: TensorProto.INT4, 2: TensorProto.INT2}
NATIVE_OPSET = 21
"""The first opset whose DequantizeLinear takes blocks."""
MINIMUM_OPSETS = {8: 13, 4: 21, 2: 25}
"""The first opset whose Cast takes the integer type (onnx.ai/onnx/operators/onnx__Cast.html)."""


class WeightStorage:
    """Collects stored weights, and rewrites their graphs once at the end.

    A decoded weight keeps its name, so that its readers, subgraphs included, need no change. One of
    float16 or bfloat16 is decoded in float32, as onnxruntime does not fold the Mul of those.
    """

    def __init__(self, model: onnx.ModelProto, names: NameGiver) -> None:
        self._model = model
        self._names = names
        self._graphs: dict[int, tuple[onnx.GraphProto, dict[str, list[onnx.TensorProto]]]] = {}
        self._nodes: dict[int, list[onnx.NodeProto]] = {}

    def keep_packed(self, weight: Weight, grid: Grid) -> None:
        """Replace an initializer of (K, N) by its native form; the grid is (blocks, size, N)."""
        name = weight.name
        blocks, size, channels = grid.values.shape
        flat = Grid(grid.bits, grid.values.reshape(blocks * size, channels), grid.scale, ())
        integers = self._names.name(f"{name}.quantized")
        scale = self._names.name(f"{name}.scale")
        scales = scale_tensor(np.asarray(grid.scale).reshape(blocks, channels), scale)
        tensors = [pack(integers, flat), scales]
        nodes = []
        if scales.data_type != TensorProto.FLOAT:
            floats = self._names.name(f"{name}.scale_float")
            nodes.append(_cast(scale, floats, TensorProto.FLOAT))
            scale = floats
        decoding = _node("DequantizeLinear", [integers, scale], name)
        decoding.attribute.extend(
            [helper.make_attribute("axis", 0), helper.make_attribute("block_size", size)]
        )
        self._replace(weight, tensors, [*nodes, decoding])

    def store(self, weight: Weight, grid: Grid) -> None:
        """Replace an initializer by its folded form."""
        name = weight.name
        integers = self._names.name(f"{name}.quantized")
        scale = self._names.name(f"{name}.scale")
        tensors = [pack(integers, grid), scale_tensor(np.asarray(grid.scale), scale)]
        floats = [self._names.name(f"{name}.float"), self._names.name(f"{name}.scale_float")]
        element_type = TensorProto.FLOAT if weight.is_half else weight.tensor.data_type
        decoded = self._names.name(f"{name}.decoded") if weight.is_half else name
        nodes = [_cast(integers, floats[0], element_type)]
        if tensors[1].data_type != element_type:
            nodes.append(_cast(scale, floats[1], element_type))
            scale = floats[1]
        is_reshaped = grid.values.shape != grid.weight_shape
        product = self._names.name(f"{name}.blocks") if is_reshaped else decoded
        nodes.append(_node("Mul", [floats[0], scale], product))
        if is_reshaped:
            shape = self._names.name(f"{name}.shape")
            tensors.append(numpy_helper.from_array(np.array(grid.weight_shape, np.int64), shape))
            nodes.append(_node("Reshape", [product, shape], decoded))
        if weight.is_half:
            nodes.append(_cast(decoded, name, weight.tensor.data_type))
        self._replace(weight, tensors, nodes)

    def store_half(self, weight: Weight) -> None:
        """Replace an initializer by its values as float16 and a Cast."""
        half = self._names.name(f"{weight.name}.half")
        cast = _cast(half, weight.name, weight.tensor.data_type)
        self._replace(weight, [as_half(weight.tensor, half)], [cast])

    def finish(self) -> set[str]:
        """Rewrite the graphs; return the values that onnxruntime is not to compute at run time."""
        # Inner graphs first: to rewrite the one around them copies its nodes, and them with these.
        for graph in reversed(list(walk_graphs(self._model))):
            if id(graph) not in self._graphs:
                continue
            replaced = self._graphs[id(graph)][1]
            kept = [tensor for tensor in graph.initializer if tensor.name not in replaced]
            added = [tensor for tensors in replaced.values() for tensor in tensors]
            nodes = [*self._nodes[id(graph)], *graph.node]
            del graph.initializer[:], graph.node[:]
            graph.initializer.extend([*kept, *added])
            graph.node.extend(nodes)
        return {node.output[0] for nodes in self._nodes.values() for node in nodes}

    def _replace(
        self, weight: Weight, tensors: list[onnx.TensorProto], nodes: list[onnx.NodeProto]
    ) -> None:
        graph, replaced = self._graphs.setdefault(id(weight.graph), (weight.graph, {}))
        replaced[weight.name] = tensors
        self._nodes.setdefault(id(graph), []).extend(nodes)


def pack(name: str, grid: Grid) -> TensorProto:
    """Return the grid's integers as a tensor; of several in a byte the first is the lowest."""
    values = np.ascontiguousarray(grid.values).reshape(-1)
    per_byte = 8 // grid.bits
    if per_byte > 1:
        values = np.concatenate([values, np.zeros(-values.size % per_byte, np.int8)])
        lanes = values.view(np.uint8).reshape(-1, per_byte) & (2**grid.bits - 1)
        shifts = np.arange(per_byte, dtype=np.uint8) * grid.bits
        values = np.bitwise_or.reduce(lanes << shifts, axis=1).astype(np.uint8).view(np.int8)
    return helper.make_tensor(
        name, INTEGER_TYPES[grid.bits], grid.values.shape, values.tobytes(), raw=True
    )


def _cast(value: str, output: str, element_type: int) -> onnx.NodeProto:
    node = _node("Cast", [value], output)
    node.attribute.append(helper.make_attribute("to", element_type))
    return node


def _node(op_type: str, inputs: list[str], output: str) -> onnx.NodeProto:
    """Return a node without a name: nobody looks for it, and names weigh as much as all else."""
    return helper.make_node(op_type, inputs, [output])
