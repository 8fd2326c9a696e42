"""Writes a placement into a graph as QuantizeLinear and DequantizeLinear nodes."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.calibration.ranges import TensorRange
from worker.engine.graphs import default_opset
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.graph_view import (
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
    dequantize,
    quantize,
    scale_of_range,
    scale_of_weight,
)
from worker.engine.quantization.placement import COMPUTING_OP_TYPES, Placement
from worker.engine.quantization.weighted_nodes import WeightedNode, output_channels

CONTRIB_DOMAIN = "com.microsoft"
WIDE_TYPES_OPSET = 21
"""First opset whose QuantizeLinear takes 16 bits; onnxruntime's own operator does before."""
BIAS_LIMIT = 2.0**31 - 2**16
"""Bias integers stay below this, so that sums with them do not leave 32 bits."""


@dataclass(frozen=True)
class QdqOptions:
    """The types to write and whether each output channel has its own scale."""

    weights: IntegerType
    activations: IntegerType
    per_channel: bool


def rounded_weight(values: Floats, axis: int | None, options: QdqOptions) -> Floats:
    """Return a weight as integers hold it, with a scale for each index along its channel axis."""
    axis = axis if options.per_channel else None
    scale = scale_of_weight(values, axis, options.weights)
    return dequantize(quantize(values, scale, axis, options.weights), scale, axis)


def write_qdq(
    model: onnx.ModelProto,
    placement: Placement,
    ranges: Mapping[str, TensorRange],
    options: QdqOptions,
) -> dict[str, str]:
    """Rewrite the model's graph in place; return the activation of each scale by its name.

    What a node computes in integers is rounded where it is produced: its name now stands for the
    dequantized values, so that every reader, subgraphs and graph outputs included, keeps its input
    names. What comes from elsewhere is rounded for the nodes that compute on integers only.
    """
    writer = _Writer(model, ranges, options)
    writer.write(placement)
    return {scale: name for name, (scale, _) in writer.parameters.items()}


class _Writer:
    """The nodes and initializers of one result, as they are gathered."""

    def __init__(
        self, model: onnx.ModelProto, ranges: Mapping[str, TensorRange], options: QdqOptions
    ) -> None:
        self.model = model
        self.view = GraphView(model.graph)
        self.names = NameGiver(taken_names(model))
        self.options = options
        self.scales = {
            name: scale_of_range(found, options.activations) for name, found in ranges.items()
        }
        types = {options.weights.name, options.activations.name}
        is_wide = bool(types & {"int16", "uint16"})
        self.domain = CONTRIB_DOMAIN if is_wide and default_opset(model) < WIDE_TYPES_OPSET else ""
        self.sources: dict[str, str] = {}
        self.integer_nodes: set[str] = set()
        self.initializers: list[onnx.TensorProto] = []
        self.constants: list[onnx.NodeProto] = []
        self.parameters: dict[str, list[str]] = {}
        self.zero_points: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def write(self, placement: Placement) -> None:
        """Write everything."""
        self.sources = placement.sources(self.scales)
        by_weight: dict[str, list[WeightedNode]] = defaultdict(list)
        for weighted in placement.weighted:
            by_weight[weighted.weight].append(weighted)
        for group in by_weight.values():
            self._write_weight(group)
        for node in placement.joined:
            if node.op_type in COMPUTING_OP_TYPES:
                self._write_operands(node)
        self.integer_nodes = {w.node.name for w in placement.weighted} | {
            n.name for n in placement.joined
        }
        nodes = [*self.constants]
        for name in [name for name in self.sources if name in self.view.inputs]:
            nodes += self._round_for_integers(name)
        nodes += self._round_outputs(placement)
        self._replace(nodes)

    def _write_weight(self, readers: list[WeightedNode]) -> None:
        """Store a weight as integers under a DequantizeLinear of the weight's own name."""
        name, kind = readers[0].weight, self.options.weights
        values = self._values(name)
        axis = readers[0].channel_axis if self.options.per_channel else None
        scale = scale_of_weight(values, axis, kind)
        for reader in readers:
            scale = self._wide_enough(scale, reader)
        integers = quantize(values, scale, axis, kind)
        self._dequantize_constant(name, name, integers, scale, axis)
        for reader in readers:
            self._write_bias(reader, scale)

    def _wide_enough(self, scale: Scale, weighted: WeightedNode) -> Scale:
        """Return weight scales at which the bias, rounded at activation · weight scale, fits."""
        bias = self._bias(weighted)
        if bias is None:
            return scale
        least = np.abs(bias) / (BIAS_LIMIT * self._activation_scale(weighted))
        least = least if scale.scale.shape == least.shape else least.max()
        return Scale(np.maximum(scale.scale, least).astype(np.float32), scale.zero_point)

    def _write_bias(self, weighted: WeightedNode, weight_scale: Scale) -> None:
        """Store a bias as 32-bit integers at the scale of the products it is added to."""
        bias = self._bias(weighted)
        if bias is None or weighted.bias is None:
            return
        product = self._activation_scale(weighted) * weight_scale.scale
        scale = Scale(np.asarray(product, np.float32), np.zeros(product.shape, np.int32))
        integers = np.round(bias.astype(np.float64) / scale.scale).astype(np.int32)
        name = self.names.name(f"{weighted.bias}/{weighted.node.name}")
        self._dequantize_constant(name, name, integers, scale, 0 if product.ndim else None)
        weighted.node.input[2] = name
        kept = [each for each in weighted.node.attribute if each.name != "beta"]
        del weighted.node.attribute[:]
        weighted.node.attribute.extend(kept)

    def _write_operands(self, node: onnx.NodeProto) -> None:
        """Round the constants that a node computes with, at a scale of their own."""
        for index, name in enumerate(node.input):
            if self.view.is_float_constant(name) and node.op_type != "Resize":
                values = self._values(name)
                scale = scale_of_weight(values, None, self.options.activations)
                integers = quantize(values, scale, None, self.options.activations)
                rounded = self.names.name(f"{name}/{node.name}")
                self._dequantize_constant(rounded, rounded, integers, scale, None)
                node.input[index] = rounded

    def _bias(self, weighted: WeightedNode) -> Floats | None:
        """Return a node's bias, one value for each output channel, times Gemm's beta."""
        if weighted.bias is None:
            return None
        flat = flat_bias(self._values(weighted.bias), output_channels(weighted, self.view))
        if flat is None:
            return None
        beta = attribute(weighted.node, "beta", 1.0)
        return np.asarray(flat.astype(np.float64) * beta, np.float32)

    def _activation_scale(self, weighted: WeightedNode) -> Floats:
        return self.scales[self.sources[weighted.activation]].scale

    def _values(self, name: str) -> Floats:
        return np.asarray(numpy_helper.to_array(self.view.initializers[name]), np.float32)

    def _round_for_integers(self, name: str) -> list[onnx.NodeProto]:
        """Round an activation for the nodes that compute on integers; others keep the floats."""
        rounded = self.names.name(f"{name}/dequantized")
        for node in self.view.readers[name]:
            if node.name in self.integer_nodes:
                for index, read in enumerate(node.input):
                    if read == name:
                        node.input[index] = rounded
        return self._pair(name, rounded, name)

    def _round_outputs(self, placement: Placement) -> Iterator[onnx.NodeProto]:
        """Yield the graph's nodes, each followed by the rounding of its outputs."""
        absorbed = {node.name for node in placement.absorbed}
        outlets = {node.input[0]: node.output[0] for node in placement.absorbed}
        for node in self.model.graph.node:
            if node.name in absorbed:
                continue
            pairs: list[onnx.NodeProto] = []
            for index, name in enumerate(node.output):
                outlet = outlets.get(name, name)
                node.output[index] = outlet
                if outlet in self.sources and node.name not in self.integer_nodes:
                    pairs += self._round_for_integers(outlet)
                elif outlet in self.sources:
                    node.output[index] = self.names.name(f"{outlet}/float")
                    pairs += self._pair(node.output[index], outlet, outlet)
            yield node
            yield from pairs

    def _pair(self, source: str, target: str, activation: str) -> list[onnx.NodeProto]:
        """Return the nodes that round `source` and give `target` the rounded values."""
        scale_of = self.sources[activation]
        if scale_of not in self.parameters:
            self.parameters[scale_of] = self._write_scale(scale_of, self.scales[scale_of])
        integers = self.names.name(f"{target}/quantized")
        return [
            self._node("QuantizeLinear", [source, *self.parameters[scale_of]], integers),
            self._node("DequantizeLinear", [integers, *self.parameters[scale_of]], target),
        ]

    def _dequantize_constant(
        self, name: str, target: str, integers: Integers, scale: Scale, axis: int | None
    ) -> None:
        stored = self.names.name(f"{name}_quantized")
        self.initializers.append(numpy_helper.from_array(integers, stored))
        inputs = [stored, *self._write_scale(name, scale)]
        self.constants.append(self._node("DequantizeLinear", inputs, target, axis))

    def _write_scale(self, name: str, scale: Scale) -> list[str]:
        stored = self.names.name(f"{name}_scale")
        self.initializers.append(numpy_helper.from_array(scale.scale, stored))
        return [stored, self._write_zero_point(name, scale.zero_point)]

    def _write_zero_point(self, name: str, zero_point: Integers) -> str:
        """Return the name of a zero point, one tensor for all that are equal."""
        key = (zero_point.dtype.name, zero_point.shape, zero_point.tobytes())
        if key not in self.zero_points:
            self.zero_points[key] = self.names.name(f"{name}_zero_point")
            self.initializers.append(numpy_helper.from_array(zero_point, self.zero_points[key]))
        return self.zero_points[key]

    def _node(
        self, op_type: str, inputs: list[str], output: str, axis: int | None = None
    ) -> onnx.NodeProto:
        node = helper.make_node(op_type, inputs, [output], domain=self.domain or None)
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        return node

    def _replace(self, nodes: list[onnx.NodeProto]) -> None:
        """Give the graph its new nodes and initializers, less those that no node reads now."""
        graph = self.model.graph
        read = {name for node in nodes for name in names_read(node)} | self.view.outputs
        produced = {name for node in nodes for name in node.output}
        kept = [t for t in graph.initializer if t.name in read and t.name not in produced]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(nodes)
        graph.initializer.extend([*kept, *self.initializers])
        if self.domain and not any(o.domain == self.domain for o in self.model.opset_import):
            self.model.opset_import.add(domain=self.domain, version=1)
