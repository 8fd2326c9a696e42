"""Loops that take the rows of a tensor one by one, from the first to the last."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.preparation.constants import array_of
from worker.engine.preparation.loop_constants import LEADING_INPUTS, LEADING_OUTPUTS, body_of

STEPS_RANK = 3
"""Of (steps, batch, inputs)."""


def counts_through(loop: ir.Node, row: ir.Value) -> ir.Value | None:
    """Return the tensor of which a value in a Loop's body is row 0, then 1, and so on to the last.

    None where it is anything else, where the tensor is not known to have three axes, and where the
    Loop may end sooner.
    """
    gather = handed_on(row).producer()
    if gather is None or not _is(gather, "Gather") or _integer(gather, "axis", 0) != 0:
        return None
    rows, index = gather.inputs
    if rows is None or index is None or not _is_from_outside(loop, rows):
        return None
    numbers = _numbers(loop)
    most = loop.inputs[0]
    is_counted = any(stripped(index) is number for number in numbers)
    if not is_counted or most is None or not _is_length(most, rows) or _rank(rows) != STEPS_RANK:
        return None
    goes_on, starts = body_of(loop).outputs[0], loop.inputs[1]
    is_whole = _holds(goes_on, most, numbers) and (starts is None or _holds(starts, most, []))
    return rows if is_whole else None


def handed_on(value: ir.Value) -> ir.Value:
    """Return the value that Identity nodes hand on."""
    return _before(value, ("Identity",))


def stripped(value: ir.Value) -> ir.Value:
    """Return the whole number or condition that Cast and Identity nodes hand on."""
    return _before(value, ("Cast", "Identity"))


def _before(value: ir.Value, op_types: Sequence[str]) -> ir.Value:
    node = value.producer()
    while node is not None and any(_is(node, op_type) for op_type in op_types):
        source = node.inputs[0]
        if source is None:
            break
        value, node = source, source.producer()
    return value


def _numbers(loop: ir.Node) -> list[ir.Value]:
    """Return what counts the iterations from 0: a Loop's own number, and states that do."""
    body = body_of(loop)
    states = range(len(loop.inputs) - LEADING_INPUTS)
    counted = [
        body.inputs[LEADING_INPUTS + index]
        for index in states
        if _is_number(loop.inputs[LEADING_INPUTS + index], 0)
        and _is_next(body.outputs[LEADING_OUTPUTS + index], [body.inputs[LEADING_INPUTS + index]])
    ]
    return [body.inputs[0], *counted]


def _is_next(value: ir.Value, numbers: list[ir.Value]) -> bool:
    """Return whether a value is one more than a number of the iteration."""
    node = stripped(value).producer()
    if node is None or not _is(node, "Add"):
        return False
    return any(
        a is not None and any(stripped(a) is number for number in numbers) and _is_number(b, 1)
        for a, b in (node.inputs, reversed(node.inputs))
    )


def _holds(condition: ir.Value, most: ir.Value, numbers: list[ir.Value]) -> bool:
    """Return whether a condition holds until `most` iterations are done.

    It does where it asks whether the number of the iteration, or the next, is less than `most`;
    before the first, whether 0 is, as a Loop of no iterations has nothing to ask for.
    """
    value = stripped(condition)
    constant, node = array_of(value), value.producer()
    if constant is not None or node is None:
        return constant is not None and bool(constant.all())
    if _is(node, "And"):
        return all(each is not None and _holds(each, most, numbers) for each in node.inputs)
    number, limit = node.inputs if _is(node, "Less") else (None, None)
    if number is None or limit is None or stripped(limit) is not stripped(most):
        return False
    if not numbers:
        return _is_number(number, 0)
    return any(stripped(number) is each for each in numbers) or _is_next(number, numbers)


def _is_length(value: ir.Value, rows: ir.Value) -> bool:
    """Return whether a value is the size of a tensor's first axis."""
    node = stripped(value).producer()
    while node is not None and _is(node, "Squeeze") and node.inputs[0] is not None:
        node = stripped(node.inputs[0]).producer()
    if node is None or node.inputs[0] is None:
        return False
    is_first = (_is(node, "Slice") and _starts_at_first(node)) or (
        _is(node, "Gather") and _is_number(node.inputs[1], 0)
    )
    shape = stripped(node.inputs[0]).producer() if is_first else node
    if shape is None or not _is(shape, "Shape") or _integer(shape, "start", 0) != 0:
        return False
    is_one = is_first or _integer(shape, "end", 0) == 1
    return is_one and shape.inputs[0] is rows


def _starts_at_first(piece: ir.Node) -> bool:
    """Return whether a Slice of a vector takes its first number only."""
    starts, ends = (array_of(value) for value in piece.inputs[1:3])
    steps = array_of(piece.inputs[4]) if len(piece.inputs) > 4 else np.array([1])
    parts = (starts, ends, steps)
    return all(part is not None for part in parts) and [
        part.tolist() for part in parts if part is not None
    ] == [[0], [1], [1]]


def _is_from_outside(loop: ir.Node, value: ir.Value) -> bool:
    body, producer = body_of(loop), value.producer()
    if any(value is each for each in body.inputs):
        return False
    return producer is None or producer.graph is not body


def _rank(value: ir.Value) -> int | None:
    """Return how many axes a value has, as far as that is plain."""
    if value.shape is not None:
        return len(value.shape)
    node = value.producer()
    permutation = (
        node.attributes.get("perm") if node is not None and _is(node, "Transpose") else None
    )
    return None if permutation is None else len(permutation.as_ints())


def _is_number(value: ir.Value | None, wanted: int) -> bool:
    array = None if value is None else array_of(stripped(value))
    return array is not None and array.size == 1 and float(array.reshape(-1)[0]) == wanted


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in DEFAULT_DOMAINS
