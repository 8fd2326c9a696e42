"""Reading and replacing the constants of a graph in its `onnx_ir` form."""

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Numbers = npt.NDArray[np.generic]


def walk(model: ir.Model) -> list[ir.Node]:
    """Return every node, subgraphs included; a list, so that nodes may be removed meanwhile."""
    return list(ir.traversal.RecursiveGraphIterator(model.graph))


def is_constant(value: ir.Value | None) -> bool:
    """Return whether a value is an initializer that no caller can override."""
    return value is not None and value.is_initializer() and not value.is_graph_input()


def array_of(value: ir.Value | None) -> Numbers | None:
    """Return the numbers of a constant; None for anything else."""
    if value is None or not is_constant(value) or value.const_value is None:
        return None
    if value.const_value.dtype == ir.DataType.STRING:
        return None
    return value.const_value.numpy()


def replace_constant(value: ir.Value, array: Numbers) -> None:
    """Give an initializer new numbers, under its old name and in its old element type."""
    if value.const_value is None:
        raise ValueError(f"{value.name!r} is not a constant")
    cast = array.astype(value.const_value.dtype.numpy())
    value.const_value = ir.tensor(np.ascontiguousarray(cast), name=value.name)
    value.shape = ir.Shape(cast.shape)


def add_constant(graph: ir.Graph, name: str, array: Numbers) -> ir.Value:
    """Add an initializer to a graph; the name must be free."""
    tensor = ir.tensor(np.ascontiguousarray(array), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def bypass(node: ir.Node, replacement: ir.Value) -> bool:
    """Let a node's readers read another value, and remove the node.

    A graph output keeps its name by giving it to the replacement, which must then come from a
    node of the same graph and be no graph output itself. Returns whether it could be done.
    """
    output, graph = node.outputs[0], node.graph
    if graph is None:
        return False
    if output.is_graph_output():
        producer = replacement.producer()
        if producer is None or producer.graph is not graph or replacement.is_graph_output():
            return False
        name = output.name
        output.replace_all_uses_with(replacement, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        replacement.name, replacement.type, replacement.shape = name, output.type, output.shape
        return True
    output.replace_all_uses_with(replacement)
    graph.remove(node, safe=True)
    return True


def value_names(model: ir.Model) -> set[str]:
    """Return every value name in use, subgraphs included."""
    names = {
        value.name
        for graph in model.graphs()
        for value in [*graph.inputs, *graph.initializers.values()]
    } | {value.name for node in walk(model) for value in node.outputs}
    return {name for name in names if name is not None}
