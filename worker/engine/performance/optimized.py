"""What onnxruntime's optimizer made of a model, as far as it tells why it is slow."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from worker.engine.errors import PassError
from worker.engine.graphs import walk_graphs
from worker.engine.runtime import bounded

QUANTIZE = {"QuantizeLinear"}
DEQUANTIZE = {"DequantizeLinear"}
DECODING = {"Cast", "DequantizeLinear", "Mul", "Reshape", "Sub", "Transpose"}
"""What turns stored weights back into floats."""


@dataclass(frozen=True)
class OptimizedGraph:
    """Facts about an optimized graph, bodies included."""

    converting_nodes: int
    """QuantizeLinear and DequantizeLinear that no integer kernel took in."""
    float_between: Counter[str]
    """Operators that read a DequantizeLinear and feed a QuantizeLinear: still in float."""
    decoded_weights: int
    """Values made from stored constants at every run, and read by what computes."""
    decoding_nodes: frozenset[str]
    """The nodes that make them."""


def read_optimized(path: Path) -> OptimizedGraph:
    """Read what onnxruntime wrote of a graph when it had optimized it.

    Raises:
        EngineError: the graph does not fit the memory.
    """
    with bounded("reading the optimized model", PassError):
        model = onnx.load(path, load_external_data=False)
    converting = 0
    between: Counter[str] = Counter()
    decoding: list[onnx.NodeProto] = []
    constants: set[str] = set()
    for graph in walk_graphs(model):
        constants.update(tensor.name for tensor in graph.initializer)
        converting += sum(node.op_type in QUANTIZE | DEQUANTIZE for node in graph.node)
        between.update(_float_between(graph))
        decoding.extend(_decoding(graph, constants))
    made = {name for node in decoding for name in node.output}
    passed_on = {name for node in decoding for name in node.input}
    return OptimizedGraph(
        converting_nodes=converting,
        float_between=between,
        decoded_weights=len(made - passed_on),
        decoding_nodes=frozenset(node.name for node in decoding),
    )


def _float_between(graph: onnx.GraphProto) -> Iterator[str]:
    dequantized = {
        name for node in graph.node if node.op_type in DEQUANTIZE for name in node.output
    }
    quantized = {node.input[0] for node in graph.node if node.op_type in QUANTIZE}
    for node in graph.node:
        is_float = node.op_type not in QUANTIZE | DEQUANTIZE
        if is_float and dequantized & set(node.input) and quantized & set(node.output):
            yield node.op_type


def _decoding(graph: onnx.GraphProto, constants: set[str]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that read constants only; what they make is constant too."""
    for node in graph.node:
        inputs = {name for name in node.input if name}
        if node.op_type in DECODING and inputs and inputs <= constants:
            constants.update(node.output)
            yield node
