"""Rewrites of a model's form: functions, inputs, Constant nodes, Identity nodes, leftovers."""

import onnx_ir as ir
from onnx_ir.passes import common

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.preparation.constants import array_of, bypass, is_constant, walk

LOWEST_IR_VERSION_WITHOUT_WEIGHT_INPUTS = 4


def inline_functions(model: ir.Model) -> int:
    """Write out every function call; passes look at graphs only."""
    count = len(model.functions)
    if count:
        common.InlinePass()(model)
        common.RemoveUnusedFunctionsPass()(model)  # type: ignore[no-untyped-call]  # onnx_ir
    return count


def unlist_initializers(model: ir.Model) -> int:
    """Take initializers out of the graph inputs, where a caller could override them."""
    kept = [value for value in model.graph.inputs if not value.is_initializer()]
    count = len(model.graph.inputs) - len(kept)
    if count:
        model.graph.inputs.clear()
        model.graph.inputs.extend(kept)
        model.ir_version = max(model.ir_version, LOWEST_IR_VERSION_WITHOUT_WEIGHT_INPUTS)
    return count


def lift_constants(model: ir.Model) -> int:
    """Turn Constant nodes into initializers, whichever attribute holds the value.

    Left alone: sparse constants, and constants that are a graph's output.
    """
    before = _constant_nodes(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    for graph in model.graphs():
        for value in graph.initializers.values():
            _own(value)
    return before - _constant_nodes(model)


def _own(value: ir.Value) -> None:
    """Give a lifted constant a tensor of its own.

    `onnx_ir` shares tensors with the model it was made from, and names them when it writes them.
    """
    tensor, name = value.const_value, value.name
    if tensor is None or tensor.name == name:
        return
    if tensor.dtype == ir.DataType.STRING:
        value.const_value = ir.StringTensor(tensor.numpy(), name=name)
    else:
        value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name)


def _constant_nodes(model: ir.Model) -> int:
    return sum(node.op_type == "Constant" for node in walk(model))


def remove_identities(model: ir.Model) -> int:
    """Remove Identity nodes, and Dropout nodes that are off.

    Left alone: those that make a graph input, an initializer or a value of an outer graph into a
    graph output, and those whose input is a graph output as well.
    """
    count = 0
    for node in walk(model):
        source = node.inputs[0] if node.inputs else None
        if source is not None and _is_identity(node):
            count += bypass(node, source)
    return count


def _is_identity(node: ir.Node) -> bool:
    """Return whether a node's only result in use is its first input."""
    if node.domain not in DEFAULT_DOMAINS or any(value.uses() for value in node.outputs[1:]):
        return False
    if node.op_type != "Dropout" or any(value.is_graph_output() for value in node.outputs[1:]):
        return node.op_type == "Identity"
    training = node.inputs[2] if len(node.inputs) > 2 else None
    is_on = array_of(training)
    return training is None or (is_on is not None and not is_on.any())


def remove_unused(model: ir.Model) -> int:
    """Remove nodes and initializers that nothing reads."""
    before = _content(model)
    common.RemoveUnusedNodesPass()(model)
    for graph in model.graphs():
        for name, value in list(graph.initializers.items()):
            if is_constant(value) and not value.uses() and not value.is_graph_output():
                del graph.initializers[name]
    return before - _content(model)


def _content(model: ir.Model) -> int:
    """Return the number of nodes and initializers."""
    return len(walk(model)) + sum(len(graph.initializers) for graph in model.graphs())
