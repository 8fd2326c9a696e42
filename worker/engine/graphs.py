"""Walking an ONNX model: its graphs, nodes and tensors, subgraphs and functions included."""

from collections.abc import Iterable, Iterator

import onnx
from google.protobuf.message import Message

from worker.engine.errors import UnsupportedModelError

DEFAULT_DOMAINS = ("", "ai.onnx")
MAX_EXPANDED_NODES = 1_000_000
MAX_NESTED_CALLS = 100

FunctionKey = tuple[str, str, str]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node such as If, Loop or Scan holds."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def walk_graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """Yield the main graph and every subgraph, those inside functions included."""
    yield model.graph
    yield from _nested_graphs(model.graph.node)
    for function in model.functions:
        yield from _nested_graphs(function.node)


def _nested_graphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for graph in subgraphs(node):
            yield graph
            yield from _nested_graphs(graph.node)


def walk_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield every node once: of the graphs, of their subgraphs and of the functions."""
    for graph in walk_graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def walk_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every stored tensor: initializers, sparse ones and node attributes."""
    for graph in walk_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in walk_nodes(model):
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for tensor in [*sparse, *attribute.sparse_tensors]:
        yield from (tensor.values, tensor.indices)


def has_text_that_is_not_utf8(message: Message) -> bool:
    """Return whether any name or description in a model is not valid UTF-8.

    Protobuf lets those pass, and hands them out as bytes where everybody expects text.
    """
    if isinstance(message, onnx.TensorProto):
        # Not all its fields: they hold the weights, and to look at them is to copy them.
        return not all(isinstance(text, str) for text in (message.name, message.doc_string))
    for field, value in message.ListFields():
        for part in value if field.is_repeated else (value,):
            if field.message_type is not None:
                if has_text_that_is_not_utf8(part):
                    return True
            elif field.type == field.TYPE_STRING and not isinstance(part, str):
                return True
    return False


def default_opset(model: onnx.ModelProto) -> int:
    """Return the opset of the default domain, 0 where the model does not import it."""
    versions = [o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS]
    return max(versions, default=0)


def expanded_node_count(model: onnx.ModelProto) -> int:
    """Return how many nodes the model has once every function call is written out.

    Raises:
        UnsupportedModelError: more than `MAX_EXPANDED_NODES`, or calls nested too deep to follow.
            A few functions that each call the next twice would keep any ONNX tool busy for ever.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    counts: dict[FunctionKey, int] = {}

    def count(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        if depth > MAX_NESTED_CALLS:
            raise UnsupportedModelError(
                f"the model's functions call each other more than {MAX_NESTED_CALLS} deep; "
                "inline them before uploading"
            )
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in functions and key not in counts:
                counts[key] = count(functions[key].node, depth + 1)
            total += counts.get(key, 1)
            total += sum(count(graph.node, depth + 1) for graph in subgraphs(node))
        if total > MAX_EXPANDED_NODES:
            raise UnsupportedModelError(
                f"the model has more than {MAX_EXPANDED_NODES} nodes once its functions are "
                "written out"
            )
        return total

    return count(model.graph.node, 0)
