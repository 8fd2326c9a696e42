"""Making one LSTM node of a Loop that computes an LSTM step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.names import NameGiver
from worker.engine.preparation.constants import (
    Numbers,
    add_constant,
    array_of,
    value_names,
    walk,
)
from worker.engine.preparation.loop_constants import LEADING_INPUTS, LEADING_OUTPUTS, body_of
from worker.engine.preparation.loop_counting import counts_through, handed_on
from worker.engine.preparation.lstm_emptiness import LstmEmptiness

GATES = 4
SQUEEZING_OPSET = 13
"""From here on Squeeze and Unsqueeze take their axes as an input."""


@dataclass(frozen=True)
class Cell:
    """An LSTM's step: where its gates i, o, f, c lie among four, and what they are sums of."""

    order: tuple[int, ...]
    steps: ir.Value
    """The inputs of all steps, (steps, batch, inputs)."""
    weight: Numbers
    recurrence: Numbers
    bias: Numbers


@dataclass(frozen=True)
class States:
    """Where a Loop keeps the hidden state and the cell's, among its state."""

    hidden: int
    cell: int


def join_lstm_loops(model: ir.Model) -> int:
    """Make LSTM nodes of Loops whose body is an LSTM's step on one row of a tensor.

    tf2onnx writes Keras' LSTM layers so. The node is faster, and has a form in integers. Left
    alone: any other step, weights that are no constants, and loops that may end before the last
    row.
    """
    if model.opset_imports.get("", 0) < SQUEEZING_OPSET:
        return 0
    names = NameGiver(value_names(model))
    return sum(_join(node, names) for node in walk(model) if _is(node, "Loop"))


def _join(loop: ir.Node, names: NameGiver) -> bool:
    body = body_of(loop)
    count = len(loop.inputs) - LEADING_INPUTS
    following = [body.outputs[LEADING_OUTPUTS + index] for index in range(count)]
    collected = [handed_on(value) for value in body.outputs[LEADING_OUTPUTS + count :]]
    for hidden, cell in permutations(range(count), 2):
        states = States(hidden, cell)
        found = _match(loop, states)
        is_read = [index for index in range(count) if _is_read(loop.outputs[index])]
        if (
            found is not None
            and set(is_read) <= {hidden, cell}
            and all(value is handed_on(following[hidden]) for value in collected)
        ):
            _replace(loop, found, states, names)
            return True
    return False


def _match(loop: ir.Node, states: States) -> Cell | None:
    """Return the LSTM that a Loop computes with these states; None where it is another thing."""
    body = body_of(loop)
    hidden, cell = (body.inputs[LEADING_INPUTS + n] for n in (states.hidden, states.cell))
    next_hidden = handed_on(body.outputs[LEADING_OUTPUTS + states.hidden])
    next_cell = handed_on(body.outputs[LEADING_OUTPUTS + states.cell])
    gates = _gates(next_hidden, next_cell, cell)
    split = None if gates is None else gates[0].producer()
    if gates is None or split is None or any(gate.producer() is not split for gate in gates):
        return None
    order = tuple(split.outputs.index(gate) for gate in gates)
    if len(set(order)) != GATES or not _is_split_in_equal_parts(split):
        return None
    return _summed(loop, split.inputs[0], hidden, order)


def _gates(
    next_hidden: ir.Value, next_cell: ir.Value, cell: ir.Value
) -> tuple[ir.Value, ...] | None:
    """Return what i, o, f and c are functions of.

    next_cell = sigmoid(f) * cell + sigmoid(i) * tanh(c); next_hidden = sigmoid(o) *
    tanh(next_cell) (the ONNX operator's page, with its default activations).
    """
    for squashed, opened in _pairs(next_hidden, "Mul"):
        output = _argument(opened, "Sigmoid")
        if output is None or _argument(squashed, "Tanh") is not next_cell:
            continue
        for kept, added in _pairs(next_cell, "Add"):
            forget = [_argument(a, "Sigmoid") for a, b in _pairs(kept, "Mul") if b is cell]
            entered = [
                (_argument(a, "Sigmoid"), _argument(b, "Tanh")) for a, b in _pairs(added, "Mul")
            ]
            for into, candidate in entered:
                if forget and forget[0] and into and candidate:
                    return into, output, forget[0], candidate
    return None


def _summed(
    loop: ir.Node, total: ir.Value | None, hidden: ir.Value, order: tuple[int, ...]
) -> Cell | None:
    """Return the cell whose gates are x W + h R + b, in any order of the sum."""
    steps, weights, recurrences, biases = [], [], [], []
    for term in _terms(total):
        left, right = _operands(term, "MatMul")
        factor, vector = array_of(right), array_of(term)
        rows = None if left is None else counts_through(loop, left)
        if factor is not None and factor.ndim == 2 and left is hidden:
            recurrences.append(factor)
        elif factor is not None and factor.ndim == 2 and rows is not None:
            steps.append(rows)
            weights.append(factor)
        elif vector is not None and vector.ndim == 1:
            biases.append(vector)
        else:
            return None
    if len(weights) != 1 or len(recurrences) != 1:
        return None
    size = GATES * recurrences[0].shape[0]
    shapes = {each.shape[-1] for each in (*weights, *recurrences, *biases)}
    if shapes != {size} or any(each.dtype != np.float32 for each in (*weights, *recurrences)):
        return None
    bias = np.asarray(sum(biases, start=np.zeros(size, np.float32)), np.float32)
    return Cell(order, steps[0], weights[0], recurrences[0], bias)


def _replace(loop: ir.Node, cell: Cell, states: States, names: NameGiver) -> None:
    """Put an LSTM node in the place of a Loop."""
    graph, count = loop.graph, len(loop.inputs) - LEADING_INPUTS
    if graph is None:
        raise ValueError(f"{loop.name!r} is in no graph")
    bias = _for_lstm(cell.bias, cell.order)
    arrays = {
        "weight": _for_lstm(cell.weight, cell.order),
        "recurrence": _for_lstm(cell.recurrence, cell.order),
        "bias": np.concatenate([bias, np.zeros_like(bias)], axis=-1),
    }
    base = loop.outputs[states.hidden].name
    constants = [add_constant(graph, names.name(f"{base}/{k}"), a) for k, a in arrays.items()]
    axes = [
        add_constant(graph, names.name(f"{base}/axis_{axis}"), np.array([axis])) for axis in (0, 1)
    ]
    initial = [
        ir.node("Unsqueeze", [loop.inputs[LEADING_INPUTS + index], axes[0]])
        for index in (states.hidden, states.cell)
    ]
    lstm = ir.node(
        "LSTM",
        [cell.steps, *constants, None, *(node.outputs[0] for node in initial)],
        attributes={"hidden_size": cell.recurrence.shape[0]},
        num_outputs=3,
        name=loop.name,
    )
    rows, last_hidden, last_cell = lstm.outputs
    sources = {states.hidden: (last_hidden, 0), states.cell: (last_cell, 0)}
    sources |= dict.fromkeys(range(count, len(loop.outputs)), (rows, 1))
    squeezed = {
        index: ir.node("Squeeze", [value, axes[axis]])
        for index, (value, axis) in sources.items()
        if _is_read(loop.outputs[index])
    }
    graph.insert_before(loop, [*initial, lstm, *squeezed.values()])
    for index, node in squeezed.items():
        old, new = loop.outputs[index], node.outputs[0]
        name, new.type, new.shape = old.name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = None, name
    for value in [*lstm.outputs, *(node.outputs[0] for node in initial)]:
        value.name = names.name(f"{base}/lstm")
    LstmEmptiness(lstm, graph, names).admit()
    _remove(loop, graph)


def _remove(loop: ir.Node, graph: ir.Graph | ir.Function) -> None:
    """Remove a Loop and its nodes, so that what they read knows it is read no more."""
    body = body_of(loop)
    body.outputs.clear()
    body.remove(list(body), safe=True)
    graph.remove(loop, safe=True)


def _for_lstm(columns: Numbers, order: tuple[int, ...]) -> Numbers:
    """Return (..., 4 * hidden) as LSTM takes it: (directions, 4 * hidden, ...), in its order."""
    parts = np.split(columns, GATES, axis=-1)
    return np.ascontiguousarray(np.concatenate([parts[n] for n in order], axis=-1).T[np.newaxis])


def _is_split_in_equal_parts(split: ir.Node) -> bool:
    sizes = array_of(split.inputs[1]) if len(split.inputs) > 1 else None
    is_equal = len(split.inputs) < 2 or (sizes is not None and len(set(sizes.tolist())) == 1)
    axis = split.attributes.get("axis")
    return (
        _is(split, "Split")
        and len(split.outputs) == GATES
        and is_equal
        # Of (batch, 4 * hidden).
        and axis is not None
        and axis.as_int() in {-1, 1}
    )


def _terms(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield what a sum of sums adds up."""
    left, right = _operands(value, "Add")
    if left is not None and right is not None:
        yield from _terms(left)
        yield from _terms(right)
    elif value is not None:
        yield value


def _pairs(value: ir.Value, op_type: str) -> list[tuple[ir.Value, ir.Value]]:
    """Return the two inputs of the node that makes a value, in both orders."""
    left, right = _operands(value, op_type)
    return [] if left is None or right is None else [(left, right), (right, left)]


def _operands(value: ir.Value | None, op_type: str) -> tuple[ir.Value | None, ir.Value | None]:
    node = None if value is None else handed_on(value).producer()
    if node is None or not _is(node, op_type) or len(node.inputs) != 2:
        return None, None
    return node.inputs[0], node.inputs[1]


def _argument(value: ir.Value, op_type: str) -> ir.Value | None:
    node = handed_on(value).producer()
    is_it = node is not None and _is(node, op_type)
    source = node.inputs[0] if node is not None and is_it else None
    return None if source is None else handed_on(source)


def _is_read(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _is(node: ir.Node, op_type: str) -> bool:
    return node.op_type == op_type and node.domain in DEFAULT_DOMAINS
