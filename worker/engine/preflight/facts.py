"""What a model is: its constants by size, free axes, subgraphs, and what is quantized already."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import onnx

from worker.engine.graphs import walk_graphs, walk_nodes
from worker.engine.inspection import dtype_name
from worker.engine.model_files import tensor_bytes
from worker.engine.preflight.contents import FreeAxis, ModelFacts, StoredTensor, TrialRun
from worker.engine.quantization.working_copy import is_quantized
from worker.engine.requests import ModelInfo, TensorInfo

LARGEST_WEIGHTS = 20
MOST_READERS = 4
MOST_AXES = 64

NamedTensor = tuple[str, onnx.TensorProto]


def gather_facts(
    model: onnx.ModelProto, info: ModelInfo, trial_run: TrialRun, preparation: list[str]
) -> ModelFacts:
    """Return what is said of the model as it was uploaded."""
    constants = list(_constants(model))
    by_dtype: Counter[str] = Counter()
    for _, tensor in constants:
        by_dtype[dtype_name(tensor.data_type)] += tensor_bytes(tensor)
    return ModelFacts(
        size_bytes=info.size_bytes,
        opset=info.opset,
        ir_version=info.ir_version,
        op_counts=info.op_counts,
        parameter_count=info.parameter_count,
        weight_bytes=dict(by_dtype.most_common()),
        weight_count=len(constants),
        largest_weights=_largest(model, constants),
        free_axes=_free_axes(info.inputs)[:MOST_AXES],
        subgraph_count=sum(1 for _ in walk_graphs(model)) - 1,
        function_count=len(model.functions),
        quantized_op_counts=_quantized_operators(model),
        trial_run=trial_run,
        preparation=preparation,
    )


def _constants(model: onnx.ModelProto) -> Iterator[NamedTensor]:
    """Yield each initializer and the tensor of each Constant node, with its value's name."""
    for graph in walk_graphs(model):
        for tensor in graph.initializer:
            yield tensor.name, tensor
        for sparse in graph.sparse_initializer:
            yield sparse.values.name, sparse.values
    for node in walk_nodes(model):
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield node.output[0], attribute.t


def _largest(model: onnx.ModelProto, constants: Sequence[NamedTensor]) -> list[StoredTensor]:
    largest = sorted(constants, key=lambda named: tensor_bytes(named[1]), reverse=True)
    largest = largest[:LARGEST_WEIGHTS]
    wanted = {name for name, _ in largest}
    readers: dict[str, dict[str, None]] = defaultdict(dict)
    for node in walk_nodes(model):
        for name in node.input:
            if name in wanted:
                readers[name][node.op_type] = None
    return [
        StoredTensor(
            name=name,
            dtype=dtype_name(tensor.data_type),
            shape=list(tensor.dims),
            size_bytes=tensor_bytes(tensor),
            read_by=list(readers[name])[:MOST_READERS],
        )
        for name, tensor in largest
    ]


def _free_axes(inputs: Sequence[TensorInfo]) -> list[FreeAxis]:
    return [
        FreeAxis(input=tensor.name, axis=axis, symbol=size if isinstance(size, str) else None)
        for tensor in inputs
        for axis, size in enumerate(tensor.shape or [])
        if not isinstance(size, int)
    ]


def _quantized_operators(model: onnx.ModelProto) -> dict[str, int]:
    counts = Counter(node.op_type for node in walk_nodes(model) if is_quantized(node))
    return dict(counts.most_common())
