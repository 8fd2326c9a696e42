"""Computing, once and for all, what a graph computes from constants alone."""

import onnx
import onnx_ir as ir

from worker.engine.errors import PassError
from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.preparation.constants import Numbers, add_constant, array_of, walk
from worker.engine.runtime import open_session, run

FOLDED = {
    "Cast", "Concat", "Flatten", "Neg", "Reshape", "Sqrt", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
SMALL_BYTES = 1024
NUMPY_KINDS = "fiub"
"""Kinds of the element types that numpy has itself, and onnxruntime can hand to it."""


def fold_constants(model: ir.Model) -> int:
    """Replace nodes that only rearrange or convert constants by their results.

    Computed by onnxruntime itself, so that the numbers are those it would get at load. Left alone:
    nodes whose result would make the file larger, such as a Cast of stored 8-bit weights, or a
    Transpose of a weight that others read as it is (tied weights stay tied).
    """
    count = 0
    while nodes := [node for node in walk(model) if _may_fold(node) and _pays(node)]:
        for node, result in zip(nodes, _compute(model, nodes), strict=True):
            _replace(node, result)
        count += len(nodes)
    return count


def _may_fold(node: ir.Node) -> bool:
    """Return whether a node reads constants only and has one result that is no graph output."""
    given = [array_of(value) for value in node.inputs if value is not None]
    return (
        node.op_type in FOLDED
        and node.domain in DEFAULT_DOMAINS
        and len(node.outputs) == 1
        and bool(node.outputs[0].name)
        and not node.outputs[0].is_graph_output()
        and bool(given)
        and all(array is not None and array.dtype.kind in NUMPY_KINDS for array in given)
    )


def _pays(node: ir.Node) -> bool:
    """Return whether the result is small, or takes no more than what it makes superfluous."""
    tensors = {value: value.const_value for value in node.inputs if value is not None}
    sizes = {value: tensor.nbytes for value, tensor in tensors.items() if tensor is not None}
    freed = sum(
        size for value, size in sizes.items() if all(use.node is node for use in value.uses())
    )
    result: float = sum(sizes.values())
    if node.op_type == "Cast":
        target = ir.DataType(node.attributes["to"].as_int())
        if target == ir.DataType.STRING or target.numpy().kind not in NUMPY_KINDS:
            return False
        result = sum(t.size for t in tensors.values() if t is not None) * target.itemsize
    return result <= max(freed, SMALL_BYTES)


def _compute(model: ir.Model, nodes: list[ir.Node]) -> list[Numbers]:
    """Run the nodes, and nothing else, in onnxruntime."""
    graph = onnx.GraphProto(name="constants")
    for index, node in enumerate(nodes):
        proto = ir.to_proto(node)
        proto.output[0] = f"result_{index}"
        for position, value in enumerate(node.inputs):
            if value is None or value.const_value is None:
                continue
            proto.input[position] = f"constant_{index}_{position}"
            tensor = graph.initializer.add()
            tensor.CopyFrom(ir.to_proto(value.const_value))
            tensor.name = proto.input[position]
        graph.node.append(proto)
        graph.output.add(name=proto.output[0])
    source = onnx.ModelProto(ir_version=model.ir_version, graph=graph)
    source.opset_import.add(domain="", version=model.opset_imports[""])
    session = open_session(source, optimize=False, failure=PassError)
    return run(session, {})


def _replace(node: ir.Node, result: Numbers) -> None:
    """Put an initializer of the same name in a node's place."""
    output, graph = node.outputs[0], node.graph
    if graph is None or output.name is None:
        raise ValueError(f"node {node.name!r} is in no graph or its output has no name")
    constant = add_constant(graph, output.name, result)
    output.replace_all_uses_with(constant)
    graph.remove(node, safe=True)
