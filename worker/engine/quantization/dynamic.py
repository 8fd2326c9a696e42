"""Writes integer operators whose activations are rounded by the range of each run."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.graph_view import (
    Declined,
    GraphView,
    attribute,
    flat_bias,
    names_read,
)
from worker.engine.quantization.integers import (
    Floats,
    Integers,
    IntegerType,
    Scale,
    quantize,
    scale_of_weight,
)
from worker.engine.quantization.paired_rounding import paired_rounding
from worker.engine.quantization.placement import place_weights
from worker.engine.quantization.weighted_nodes import WeightedNode, output_channels

CONTRIB_DOMAIN = "com.microsoft"
LSTM_WEIGHTS = (1, 2)
LSTM_INPUTS = 8


@dataclass(frozen=True)
class WeightOptions:
    """How weights become integers.

    `reduce_range` is for kernels that add two products in 16 bits, with saturation.
    """

    weight_type: Literal["int8", "uint8"] = "int8"
    per_channel: bool = True
    reduce_range: bool = False

    @property
    def kind(self) -> IntegerType:
        """The integers without regard to their neighbours."""
        return IntegerType(self.weight_type, is_symmetric=True, reduce_range=self.reduce_range)

    @property
    def steps(self) -> int:
        """How many steps the range of a weight has, at most."""
        return IntegerType(self.weight_type, is_symmetric=True).levels - 1

    def rounded(self, rows: Floats) -> tuple[Integers, Scale]:
        """Return the integers and scales of a weight (inputs, channels)."""
        if self.reduce_range and self.weight_type == "int8":
            integers, scale = paired_rounding(rows, per_channel=self.per_channel)
            return integers, Scale(scale, np.zeros(scale.shape, np.int8))
        axis = 1 if self.per_channel else None
        found = scale_of_weight(rows, axis, self.kind)
        return quantize(rows, found, axis, self.kind), found


Rounded = dict[tuple[str, bool], tuple[Integers, Scale]]
"""Weights of products by name, and whether they were transposed."""


def write_dynamic(
    model: onnx.ModelProto,
    nodes: Collection[str],
    options: WeightOptions,
    known: Rounded | None = None,
) -> onnx.ModelProto:
    """Return a copy of the model with these nodes in integers.

    `known` keeps the rounded weights from one writing of the same model to the next.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    products, lstms, _ = place_dynamic(GraphView(result.graph), nodes)
    DynamicWriter(result, options, {} if known is None else known).write(products, lstms)
    return result


def place_dynamic(
    view: GraphView, chosen: Collection[str]
) -> tuple[list[WeightedNode], list[onnx.NodeProto], list[Declined]]:
    """Return the products and convolutions, the LSTMs, and the nodes that stay as they are."""
    nodes = [node for node in view.graph.node if node.name in chosen]
    weighted, declined = place_weights(nodes, view)
    products: list[WeightedNode] = []
    for each in weighted:
        if each.node.op_type == "Gemm" and attribute(each.node, "transA", 0):
            declined.append(Declined(each.node, "its first input is transposed"))
        else:
            products.append(each)
    lstms: list[onnx.NodeProto] = []
    for node in nodes:
        if node.op_type == "LSTM":
            problem = _lstm_problem(node, view)
            if problem is None:
                lstms.append(node)
            else:
                declined.append(Declined(node, problem))
    return products, lstms, declined


def sole_products(view: GraphView, chosen: Collection[str]) -> dict[str, list[WeightedNode]]:
    """Return the computed activations that chosen MatMuls multiply with weights of their own."""
    found: dict[str, list[WeightedNode]] = defaultdict(list)
    for each in place_dynamic(view, chosen)[0]:
        found[each.activation].append(each)
    return {
        name: products
        for name, products in found.items()
        if name in view.producers
        and all(each.node.op_type == "MatMul" for each in products)
        and all(view.only_reader(each.weight) is each.node for each in products)
    }


def _lstm_problem(node: onnx.NodeProto, view: GraphView) -> str | None:
    """Return why an LSTM must stay as it is."""
    if attribute(node, "layout", 0):
        return "its batch comes first (layout 1)"
    for index in LSTM_WEIGHTS:
        name = node.input[index]
        if not view.is_float_constant(name):
            return f"its weight {name} is no float32 constant"
        if view.only_reader(name) is not node:
            return f"its weight {name} is also used elsewhere"
    return None


class DynamicWriter:
    """Replaces nodes by integer operators, in one model."""

    def __init__(self, model: onnx.ModelProto, options: WeightOptions, known: Rounded) -> None:
        self.model = model
        self.view = GraphView(model.graph)
        self.names = NameGiver(taken_names(model))
        self.options = options
        self.known = known
        self.initializers: list[onnx.TensorProto] = []
        self.rounded: dict[str, list[str]] = {}
        self.weights: dict[tuple[str, bool], list[str]] = {}

    def write(self, products: Iterable[WeightedNode], lstms: Iterable[onnx.NodeProto]) -> None:
        """Rewrite the model's graph in place."""
        by_name = {weighted.node.name: weighted for weighted in products}
        lstm_names = {node.name for node in lstms}
        nodes: list[onnx.NodeProto] = []
        for node in self.model.graph.node:
            if node.name in by_name:
                nodes += self._product(by_name[node.name])
            elif node.name in lstm_names:
                nodes.append(self._lstm(node))
            else:
                nodes.append(node)
        graph = self.model.graph
        read = {name for node in nodes for name in names_read(node)} | self.view.outputs
        kept = [tensor for tensor in graph.initializer if tensor.name in read]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*kept, *self.initializers])
        domains = {opset.domain for opset in self.model.opset_import}
        if lstm_names and CONTRIB_DOMAIN not in domains:
            self.model.opset_import.add(domain=CONTRIB_DOMAIN, version=1)

    def _product(self, weighted: WeightedNode) -> Iterator[onnx.NodeProto]:
        """Yield x·W + b as float(round(x) · round(W)) · (scale of x · scale of W) + b.

        onnxruntime fuses this pattern into one node where it has a kernel for it
        (onnxruntime/core/optimizer/matmul_integer_to_float.cc, dynamic_quantize_matmul_fusion.cc).
        """
        node = weighted.node
        if weighted.activation not in self.rounded:
            self.rounded[weighted.activation] = self._names(weighted.activation)
            yield self._node(
                "DynamicQuantizeLinear", [weighted.activation], self.rounded[weighted.activation]
            )
        integers, scale, zero_point = self.rounded[weighted.activation]
        stored, weight_scale, weight_zero = self._weight(weighted)
        output, bias = node.output[0], self._bias(weighted)
        steps = [self.names.name(f"{output}/{part}") for part in ("sums", "float", "scale")]
        scaled = self.names.name(f"{output}/scaled") if bias else output
        op_type = "ConvInteger" if node.op_type == "Conv" else "MatMulInteger"
        product = self._node(op_type, [integers, stored, zero_point, weight_zero], steps[:1])
        if node.op_type == "Conv":
            product.attribute.extend(node.attribute)
        yield product
        cast = self._node("Cast", steps[:1], steps[1:2])
        cast.attribute.append(helper.make_attribute("to", onnx.TensorProto.FLOAT))
        yield cast
        yield self._node("Mul", [scale, weight_scale], steps[2:])
        yield self._node("Mul", steps[1:], [scaled])
        if bias:
            yield self._node("Add", [scaled, bias], [output])

    def _weight(self, weighted: WeightedNode) -> list[str]:
        """Return the names of a stored weight, its scale and its zero point."""
        is_transposed = weighted.node.op_type == "Gemm" and weighted.channel_axis == 0
        key = (weighted.weight, is_transposed)
        if key not in self.weights:
            if key not in self.known:
                values = self._values(weighted.weight)
                values = np.ascontiguousarray(values.T if is_transposed else values)
                is_conv = weighted.node.op_type == "Conv"
                self.known[key] = self._kernel(values) if is_conv else self.options.rounded(values)
            self.weights[key] = self._store(weighted.weight, *self.known[key])
        return self.weights[key]

    def _kernel(self, values: Floats) -> tuple[Integers, Scale]:
        """Return a Conv's weight for ConvInteger, which takes one zero point only.

        The scales multiply the channels of (batch, channels, ...).
        """
        kind, axis = self.options.kind, 0 if self.options.per_channel else None
        scale = scale_of_weight(values, axis, kind)
        integers = quantize(values, scale, axis, kind)
        if axis is None:
            return integers, scale
        spread = scale.scale.reshape(-1, *[1] * (values.ndim - 2))
        return integers, Scale(spread, np.array(kind.middle, kind.dtype))

    def _bias(self, weighted: WeightedNode) -> str | None:
        """Return the name of a bias that can be added to the result, or None without one."""
        if weighted.bias is None:
            return None
        channels = output_channels(weighted, self.view)
        bias = flat_bias(self._values(weighted.bias), channels)
        if bias is None:
            return None
        if weighted.node.op_type == "Conv":
            rank = len(self.view.initializers[weighted.weight].dims)
            bias = bias.reshape(-1, *[1] * (rank - 2))
        beta = attribute(weighted.node, "beta", 1.0)
        name = self.names.name(f"{weighted.bias}/{weighted.node.name}")
        values = np.asarray(bias.astype(np.float64) * beta, np.float32)
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def _lstm(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Return onnxruntime's LSTM of integer weights (directions, inputs, 4 · hidden)."""
        stored = [self._lstm_weight(node.input[index]) for index in LSTM_WEIGHTS]
        inputs = [*node.input, *[""] * (LSTM_INPUTS - len(node.input))]
        for index, (integers, _, _) in zip(LSTM_WEIGHTS, stored, strict=True):
            inputs[index] = integers
        inputs += [name for _, scale, zero_point in stored for name in (scale, zero_point)]
        result = helper.make_node(
            "DynamicQuantizeLSTM", inputs, node.output, name=node.name, domain=CONTRIB_DOMAIN
        )
        result.attribute.extend(each for each in node.attribute if each.name != "layout")
        return result

    def _lstm_weight(self, name: str) -> list[str]:
        values = np.ascontiguousarray(self._values(name).transpose(0, 2, 1))
        directions, _, gates = values.shape
        # One scale for each direction, or for each of its gates' channels.
        shape = (directions, gates) if self.options.per_channel else (directions,)
        rounded = [self.options.rounded(each) for each in values]
        scale = np.stack([found.scale for _, found in rounded]).reshape(shape)
        zero_point = np.stack([found.zero_point for _, found in rounded]).reshape(shape)
        integers = np.stack([each for each, _ in rounded])
        return self._store(name, integers, Scale(scale, zero_point))

    def _store(self, name: str, integers: Integers, scale: Scale) -> list[str]:
        names = self._names(name)
        arrays = (integers, scale.scale, scale.zero_point)
        self.initializers += [
            numpy_helper.from_array(array, each) for each, array in zip(names, arrays, strict=True)
        ]
        return names

    def _names(self, name: str) -> list[str]:
        return [self.names.name(f"{name}_{part}") for part in ("quantized", "scale", "zero_point")]

    def _values(self, name: str) -> Floats:
        return np.asarray(numpy_helper.to_array(self.view.initializers[name]), np.float32)

    def _node(self, op_type: str, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
        name = self.names.name(f"{outputs[0]}/{op_type}")
        return helper.make_node(op_type, inputs, outputs, name=name)
