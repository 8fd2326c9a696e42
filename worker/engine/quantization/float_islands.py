"""Keeps float nodes between integers in float, which onnxruntime would compute in integers too.

Where a Conv, ConvTranspose or Gemm reads a DequantizeLinear and only a QuantizeLinear reads its
result, onnxruntime rounds its float weight as well when it loads the model, at one scale for the
whole weight (core/optimizer/qdq_transformer/weight_bias_quantization.cc): the very nodes that were
left in float because their weights bear no rounding. A Sum of one value stands in its way.
"""

import onnx
from onnx import helper

from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.graph_view import GraphView

WITH_WEIGHTS = {"Conv", "ConvTranspose", "Gemm"}
PASSED_OVER = {"Clip", "Relu"}
"""They do not hide a QuantizeLinear behind them."""


def keep_islands_float(model: onnx.ModelProto) -> list[str]:
    """Rewrite a quantized graph in place; return the nodes with weights that stay float by it."""
    view = GraphView(model.graph)
    names = NameGiver(taken_names(model))
    places = {node.output[0]: place for place, node in enumerate(model.graph.node)}
    islands: dict[int, str] = {}
    for node in model.graph.node:
        rounding = _rounding_behind(node, view) if _reads_integers(node, view) else None
        if rounding is not None:
            islands[places[rounding.output[0]]] = node.name
    for place in sorted(islands, reverse=True):
        rounding = model.graph.node[place]
        source = rounding.input[0]
        rounding.input[0] = names.name(f"{source}/float")
        barrier = helper.make_node("Sum", [source], [rounding.input[0]])
        model.graph.node.insert(place, barrier)
    return [islands[place] for place in sorted(islands)]


def _reads_integers(node: onnx.NodeProto, view: GraphView) -> bool:
    """Whether a node multiplies dequantized values by a float weight."""
    if node.op_type not in WITH_WEIGHTS or not view.is_float_constant(node.input[1]):
        return False
    producer = view.producers.get(node.input[0])
    return producer is not None and producer.op_type == "DequantizeLinear"


def _rounding_behind(node: onnx.NodeProto, view: GraphView) -> onnx.NodeProto | None:
    """Return the QuantizeLinear that alone reads what a node gives, over what passes it on."""
    reader: onnx.NodeProto | None = node
    while reader is not None and (reader is node or reader.op_type in PASSED_OVER):
        readers = view.readers.get(reader.output[0], [])
        reader = readers[0] if len(readers) == 1 else None
    return reader if reader is not None and reader.op_type == "QuantizeLinear" else None
