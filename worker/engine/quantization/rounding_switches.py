"""A model whose roundings can be switched on one by one, to see which of them hurts."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from worker.engine.errors import CalibrationError
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.error_shares import error_shares
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
        quantized: the same model with QuantizeLinear and DequantizeLinear nodes.
        absorbed: the Relu and Clip nodes whose work the ranges in `quantized` do.
        activations: the activation of each scale in `quantized`.
        errors: what the float model answers.
    """

    def __init__(
        self,
        original: onnx.ModelProto,
        quantized: onnx.ModelProto,
        absorbed: Collection[onnx.NodeProto],
        activations: Mapping[str, str],
        errors: AnswerErrors,
    ) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(quantized)
        self.inputs = _insert_switches(model, original, absorbed, activations)
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
    model: onnx.ModelProto,
    original: onnx.ModelProto,
    absorbed: Collection[onnx.NodeProto],
    activations: Mapping[str, str],
) -> dict[str, str]:
    """Rewrite a quantized model in place; return the graph input that switches each rounding.

    A rounding is known by its weight, or by the activation that has the scale.
    """
    names = NameGiver(taken_names(model) | taken_names(original))
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    plain_nodes = {node.output[0]: node for node in absorbed}
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
            key, source = activations[node.input[1]], quantizer.input[0]
            plain = plain_nodes.get(target) or helper.make_node("Identity", [source], [target])
            rounding = Rounding(source, [quantizer, node], plain, target)
        elif node.op_type == "DequantizeLinear" and target in floats:
            key, source = target, names.name(f"{target}/float")
            plain = helper.make_node("Identity", [source], [target])
            rounding = Rounding(source, [node], plain, target)
            weight = model.graph.initializer.add()
            weight.CopyFrom(floats[target])
            weight.name = source
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
