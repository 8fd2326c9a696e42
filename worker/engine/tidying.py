"""Making a file no larger than what it holds: equal tensors, unused ones, long names."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import onnx

from worker.engine.graphs import subgraphs
from worker.engine.model_files import tensor_bytes
from worker.engine.preparation.records import strip_records

LARGEST_NAMES_SHARE = 0.03
"""Of the file; where the names of inner values take more, they are shortened."""

DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"

Content = tuple[int, tuple[int, ...], bytes]


@dataclass(frozen=True)
class Tidied:
    """What was done, in words, and what each value of the model is called now."""

    notes: list[str] = field(default_factory=list)
    names: Mapping[str, str] = field(default_factory=dict)
    """By the name before: every value that is left, and every tensor that became one with an equal
    one. Empty where the model was left alone."""

    def name(self, before: str) -> str | None:
        """Return what a value is called now; None where it is gone."""
        return self.names.get(before) if self.names else before


def tidy(model: onnx.ModelProto, *, keep_names: bool, left_out_bytes: int = 0) -> Tidied:
    """Merge equal initializers, drop unused ones and records, and shorten names, all in place.

    `left_out_bytes` are what the file will hold besides the model that is given.

    Left as they are: graph inputs and outputs, node names, metadata, and models with functions or
    training records.
    """
    strip_records(model)
    if model.functions or model.training_info:
        return Tidied()
    graph = model.graph
    merged = _merge_equal(graph, {})
    unused = _drop_unused(graph)
    notes = [f"equal tensors of the result merged: {len(merged)}"] if merged else []
    notes += [f"unused tensors of the result dropped: {unused}"] if unused else []
    names = {name: name for name in _occurrences(graph)}
    short = {} if keep_names else _short_names(graph, left_out_bytes)
    if short:
        notes.append("names of the result's inner values shortened; keep_names keeps them")
        _rename(graph, short)
        names |= short
    return Tidied(notes, {gone: names.get(left, left) for gone, left in merged.items()} | names)


def _merge_equal(graph: onnx.GraphProto, outer: Mapping[Content, str]) -> dict[str, str]:
    """Let nodes share tensors of equal type, shape and bytes, those of the graphs around too.

    Returns the name of the tensor that is left for each that is gone.
    """
    fixed = _interface(graph)
    seen = dict(outer)
    gone: dict[str, str] = {}
    for index in reversed(range(len(graph.initializer))):
        tensor = graph.initializer[index]
        if tensor.name in fixed or not tensor.HasField("raw_data"):
            continue
        left = seen.setdefault(_content(tensor), tensor.name)
        if left != tensor.name:
            gone[tensor.name] = left
            del graph.initializer[index]
    _rename_reads(graph, gone)
    for body in _bodies(graph):
        gone = _merge_equal(body, seen) | gone
    return gone


def _drop_unused(graph: onnx.GraphProto) -> int:
    """Drop the initializers that nothing reads; return how many."""
    read = _interface(graph) | set(_reads(graph))
    dropped = 0
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]
            dropped += 1
    return dropped + sum(map(_drop_unused, _bodies(graph)))


def _short_names(graph: onnx.GraphProto, left_out_bytes: int) -> dict[str, str]:
    """Return a short name for each inner value; none where that would save next to nothing."""
    fixed = _interface(graph)
    occurrences = _occurrences(graph)
    free = (name for name in map(_in_base_36, count()) if name not in fixed)
    short = {name: next(free) for name in occurrences if name not in fixed}
    saved = sum((len(name) - len(short[name])) * occurrences[name] for name in short)
    content = left_out_bytes + sum(map(tensor_bytes, _tensors(graph)))
    content += sum(len(name) * times for name, times in occurrences.items())
    return short if saved > LARGEST_NAMES_SHARE * content else {}


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Rename values wherever they are named, nested graphs included."""
    graph.ClearField("quantization_annotation")
    for tensor in _own_tensors(graph):
        tensor.name = names.get(tensor.name, tensor.name)
    for value in [*graph.input, *graph.output]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for body in _bodies(graph):
        _rename(body, names)


def _rename_reads(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Let nodes, nested ones included, and the outputs of nested graphs read other values."""
    if not names:
        return
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for body in _bodies(graph):
        for value in body.output:
            value.name = names.get(value.name, value.name)
        _rename_reads(body, names)


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield what nodes, nested ones included, and nested graphs' outputs read."""
    for node in graph.node:
        yield from node.input
    for body in _bodies(graph):
        yield from (value.name for value in body.output)
        yield from _reads(body)


def _occurrences(graph: onnx.GraphProto) -> Counter[str]:
    """Return how often each value is named, in the order of the graph."""
    names = Counter(tensor.name for tensor in _own_tensors(graph))
    names.update(value.name for value in [*graph.input, *graph.output])
    for node in graph.node:
        names.update(name for name in [*node.input, *node.output] if name)
        for body in subgraphs(node):
            names.update(_occurrences(body))
    return names


def _interface(graph: onnx.GraphProto) -> set[str]:
    return {value.name for value in [*graph.input, *graph.output]}


def _bodies(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    for node in graph.node:
        yield from subgraphs(node)


def _own_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from (sparse.values for sparse in graph.sparse_initializer)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from _own_tensors(graph)
    for body in _bodies(graph):
        yield from _tensors(body)


def _content(tensor: onnx.TensorProto) -> Content:
    return tensor.data_type, tuple(tensor.dims), sha256(tensor.raw_data).digest()


def _in_base_36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
        if not number:
            return digits
