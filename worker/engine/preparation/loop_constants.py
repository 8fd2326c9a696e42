"""Taking out of a Loop's state what its body never changes."""

import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.preparation.constants import walk

LEADING_INPUTS = 2
"""Of a Loop the most iterations and the condition, of its body the iteration and the condition."""
LEADING_OUTPUTS = 1
"""Of a Loop's body: the condition."""


def take_out_loop_constants(model: ir.Model) -> int:
    """Let a Loop's body read from outside what every iteration hands on as it got it.

    tf2onnx writes the weights of a recurrent cell so; onnxruntime prepares weights for its kernels
    only where they are constants. Left alone: what the graph outputs behind the Loop.
    """
    return sum(_take_out(node) for node in walk(model) if _is_loop(node))


def body_of(loop: ir.Node) -> ir.Graph:
    """Return the graph that a Loop runs."""
    return loop.attributes["body"].as_graph()


def _is_loop(node: ir.Node) -> bool:
    return node.op_type == "Loop" and node.domain in DEFAULT_DOMAINS


def _take_out(loop: ir.Node) -> int:
    body, graph = body_of(loop), loop.graph
    found = [index for index in range(len(loop.inputs) - LEADING_INPUTS) if _is_kept(loop, index)]
    if not found or graph is None:
        return 0
    for index in reversed(found):
        initial = loop.inputs[LEADING_INPUTS + index]
        body.outputs.pop(LEADING_OUTPUTS + index)
        if initial is not None:
            body.inputs[LEADING_INPUTS + index].replace_all_uses_with(initial)
            loop.outputs[index].replace_all_uses_with(initial)
        body.inputs.pop(LEADING_INPUTS + index)
    _replace(loop, graph, set(found))
    return len(found)


def _is_kept(loop: ir.Node, index: int) -> bool:
    """Return whether a part of the state is in the end what it was at first."""
    body = body_of(loop)
    state = body.inputs[LEADING_INPUTS + index]
    is_same = body.outputs[LEADING_OUTPUTS + index] is state
    is_once = sum(output is state for output in body.outputs) == 1
    is_given = loop.inputs[LEADING_INPUTS + index] is not None
    return is_same and is_once and is_given and not loop.outputs[index].is_graph_output()


def _replace(loop: ir.Node, graph: ir.Graph | ir.Function, dropped: set[int]) -> None:
    """Put a Loop without some parts of its state in the place of one with them."""
    inputs = [value for n, value in enumerate(loop.inputs) if n - LEADING_INPUTS not in dropped]
    outputs = [value for n, value in enumerate(loop.outputs) if n not in dropped]
    attributes = dict(loop.attributes)
    loop.attributes.clear()
    smaller = ir.Node("", "Loop", inputs, attributes, num_outputs=len(outputs), name=loop.name)
    graph.insert_before(loop, smaller)
    for old, new in zip(outputs, smaller.outputs, strict=True):
        name, new.type, new.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = None, name
    graph.remove(loop, safe=True)
