"""Joining a scaling and a shift between convolutions to one node."""

import numpy as np
import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.names import NameGiver
from worker.engine.preparation.constants import add_constant, array_of, value_names, walk

PASSING = {"Add", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid"}
"""Nodes whose output has the channels of their input."""
MAX_STEPS = 8


def join_scalings(model: ir.Model) -> int:
    """Join Mul and Add of one number each, behind a Conv's activation, to BatchNormalization.

    y = x * scale + shift is the same either way, but onnxruntime keeps BatchNormalization in the
    layout of its convolutions, and rearranges all values for Mul and Add.
    """
    names = NameGiver(value_names(model))
    return sum(_join(model, node, names) for node in walk(model) if _is(node, "Add"))


def _join(model: ir.Model, addition: ir.Node, names: NameGiver) -> bool:
    shift, product = _number_and_other(addition)
    multiplication = None if product is None else product.producer()
    if shift is None or product is None or multiplication is None:
        return False
    if len(product.uses()) != 1 or product.is_graph_output() or not _is(multiplication, "Mul"):
        return False
    scale, source = _number_and_other(multiplication)
    channels = _channels(source)
    graph = addition.graph
    is_before_conv = any(_is(use.node, "Conv") for use in addition.outputs[0].uses())
    if scale is None or channels is None or graph is not model.graph or not is_before_conv:
        return False
    ones = np.ones(channels, np.float32)
    parts = {"scale": ones * scale, "shift": ones * shift, "mean": 0 * ones, "variance": ones}
    name = addition.outputs[0].name
    constants = [
        add_constant(model.graph, names.name(f"{name}_{part}"), array.astype(np.float32))
        for part, array in parts.items()
    ]
    joined = ir.node(
        "BatchNormalization", [source, *constants], attributes={"epsilon": 0.0}, name=addition.name
    )
    model.graph.insert_before(addition, joined)
    addition.outputs[0].replace_all_uses_with(joined.outputs[0])
    model.graph.remove([addition, multiplication], safe=True)
    joined.outputs[0].name = name
    return True


def _number_and_other(node: ir.Node) -> tuple[np.float32 | None, ir.Value | None]:
    """Return the one float32 number among a node's two inputs, and the other input."""
    for value, other in (node.inputs, reversed(node.inputs)):
        array = array_of(value)
        if array is not None and array.size == 1 and array.dtype == np.float32 and array.ndim <= 4:
            return np.float32(array.reshape(-1)[0]), other
    return None, None


def _channels(value: ir.Value | None) -> int | None:
    """Return the channels of a value that comes from a Conv with a constant weight."""
    for _ in range(MAX_STEPS):
        node = None if value is None else value.producer()
        if node is None:
            return None
        weight = array_of(node.inputs[1]) if _is(node, "Conv") else None
        if weight is not None:
            return int(weight.shape[0])
        sources = [each for each in node.inputs if array_of(each) is None]
        if node.op_type not in PASSING or node.domain not in DEFAULT_DOMAINS or not sources:
            return None
        value = sources[0]
    return None


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in DEFAULT_DOMAINS
