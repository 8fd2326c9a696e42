"""Records about a graph that are not the graph: shapes, documentation, exporters' notes."""

from typing import Any

import onnx

from worker.engine.graphs import walk_graphs, walk_nodes


def strip_records(model: onnx.ModelProto) -> None:
    """Drop shape records of inner values, documentation and exporters' notes.

    Shape records may be stale, and every tool that needs them infers them anew. Kept: the names,
    the model's own metadata, and the types of graph inputs and outputs.
    """
    model.ClearField("doc_string")
    for graph in walk_graphs(model):
        for field in ("value_info", "doc_string", "metadata_props"):
            graph.ClearField(field)
        for tensor in graph.initializer:
            tensor.ClearField("doc_string")
    for node in walk_nodes(model):
        node.ClearField("doc_string")
        node.ClearField("metadata_props")


def mend_output_shapes(model: onnx.ModelProto, outputs: list[Any]) -> list[str]:
    """Free the declared sizes that the outputs of a run contradict; return those outputs' names.

    Some exporters declare sizes that are false, and tools that believe them break the model.
    """
    mended = []
    for value, output in zip(model.graph.output, outputs, strict=False):
        actual = getattr(output, "shape", None)
        tensor = value.type.tensor_type
        if actual is None or not tensor.HasField("shape"):
            continue
        declared = tensor.shape.dim
        if len(declared) != len(actual):
            del declared[:]
            for _ in actual:
                declared.add()
            mended.append(value.name)
            continue
        wrong = [
            dim
            for dim, size in zip(declared, actual, strict=True)
            if dim.HasField("dim_value") and dim.dim_value != size
        ]
        for dim in wrong:
            dim.Clear()
        if wrong:
            mended.append(value.name)
    return mended
