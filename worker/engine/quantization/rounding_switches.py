"""A model whose roundings can be switched on one by one, to see which of them hurts."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from worker.engine.errors import CalibrationError
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.error_shares import error_shares
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.static_writer import Written
from worker.engine.quantization.weighted_nodes import (
    WeightedNode,
    output_channels,
    weighted_node,
)
from worker.engine.runtime import open_session
from worker.engine.samples import Array


class Rounding(NamedTuple):
    """A value that can be rounded: the nodes that round it, and the one that leaves it float."""

    source: str
    nodes: list[onnx.NodeProto]
    plain: onnx.NodeProto
    target: str


class RoundingSwitches:
    """A quantized model where an If chooses between each rounded and float value.

    Args:
        original: the float model.
        written: the same model with QuantizeLinear and DequantizeLinear nodes.
        errors: what the float model answers.
    """

    def __init__(self, original: onnx.ModelProto, written: Written, errors: AnswerErrors) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(written.model)
        self.inputs = _insert_switches(model, original, written)
        self.session = open_session(model, failure=CalibrationError)
        self.errors = errors

    def error(self, switched_on: Collection[str]) -> float:
        """Return the error of the answers when these weights and activations are rounded."""
        switches: dict[str, Array] = {
            self.inputs[name]: np.array(name in switched_on) for name in self.inputs
        }
        return self.errors.of_session(self.session, switches)

    def shares(self, allowed: float) -> dict[str, float]:
        """Return how much of the error comes from rounding each weight and activation."""
        return error_shares(list(self.inputs), self.error, allowed)


def _insert_switches(
    model: onnx.ModelProto, original: onnx.ModelProto, written: Written
) -> dict[str, str]:
    """Rewrite a quantized model in place; return the graph input that switches each rounding.

    A rounding is known by its weight, whose errors biases make up for, or by the activation that
    has the scale.
    """
    names = NameGiver(taken_names(model) | taken_names(original))
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    constants = {name: (name, tensor) for name, tensor in floats.items()}
    constants |= _plain_biases(model, original, written.corrected)
    plain_nodes = {node.output[0]: node for node in written.placement.absorbed}
    quantizers = {n.output[0]: n for n in model.graph.node if n.op_type == "QuantizeLinear"}
    present = {tensor.name for tensor in model.graph.initializer}
    inputs: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        target = node.output[0]
        quantizer = quantizers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if node.op_type == "QuantizeLinear":
            continue
        if quantizer is not None:
            key, source = written.activations[node.input[1]], quantizer.input[0]
            plain = plain_nodes.get(target) or helper.make_node("Identity", [source], [target])
            rounding = Rounding(source, [quantizer, node], plain, target)
        elif node.op_type == "DequantizeLinear" and target in constants:
            (key, tensor), source = constants[target], names.name(f"{target}/float")
            plain = helper.make_node("Identity", [source], [target])
            rounding = Rounding(source, [node], plain, target)
            plain_constant = model.graph.initializer.add()
            plain_constant.CopyFrom(tensor)
            plain_constant.name = source
        else:
            nodes.append(node)
            continue
        if key not in inputs:
            inputs[key] = names.name(f"{key}/switch")
        nodes.append(_switch(rounding, inputs[key], names))
        for name in plain.input:
            if name in floats and name not in present and name != source:
                model.graph.initializer.add().CopyFrom(floats[name])
                present.add(name)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.input.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.BOOL, []) for name in inputs.values()
    )
    return inputs


def _plain_biases(
    model: onnx.ModelProto, original: onnx.ModelProto, corrected: Collection[str]
) -> dict[str, tuple[str, onnx.TensorProto]]:
    """Return each corrected bias with the weight that it is corrected for, and what it was."""
    view = GraphView(original.graph)
    originals = {node.name: node for node in original.graph.node if node.name in corrected}
    biases = {}
    for node in model.graph.node:
        weighted = weighted_node(originals[node.name], view) if node.name in originals else None
        if isinstance(weighted, WeightedNode):
            zeros = np.zeros(output_channels(weighted, view), np.float32)
            plain = view.initializers.get(weighted.bias or "", numpy_helper.from_array(zeros))
            biases[str(node.input[2])] = (weighted.weight, plain)
    return biases


def _switch(rounding: Rounding, condition: str, names: NameGiver) -> onnx.NodeProto:
    """Return an If of the rounded and the float value."""
    renamed: Mapping[str, str] = {rounding.target: names.name(f"{rounding.target}/rounded")}
    then = [_copy(node, {}, renamed) for node in rounding.nodes]
    plain_name = names.name(f"{rounding.target}/plain")
    plain = _copy(rounding.plain, {}, {rounding.target: plain_name})
    if rounding.plain.op_type != "Identity":
        plain.input[0] = rounding.source
    bodies = [
        helper.make_graph(body, f"{rounding.target}/{index}", [], [_untyped(output)])
        for index, (body, output) in enumerate(
            [(then, renamed[rounding.target]), ([plain], plain_name)]
        )
    ]
    return helper.make_node(
        "If", [condition], [rounding.target], then_branch=bodies[0], else_branch=bodies[1]
    )


def _copy(
    node: onnx.NodeProto, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [inputs.get(name, name) for name in node.input]
    copy.output[:] = [outputs.get(name, name) for name in node.output]
    return copy


def _untyped(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
