"""Letting an LSTM node take inputs without a row or without a step, as the Loop that it was did."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from worker.engine.names import NameGiver
from worker.engine.preparation.constants import add_constant, array_of

STEPS_AXIS, BATCH_AXIS = 0, 1
BATCHED = {0: 2, 1: 1, 2: 1}
"""The axis of the batch in Y, Y_h and Y_c; in X, initial_h and initial_c it is the second."""
INITIAL = {1: 5, 2: 6}
"""The inputs that Y_h and Y_c are equal to where there is no step."""
ONE_ROW_BEHIND = (0, 0, 0, 0, 1, 0)
"""Pads of (steps, batch, inputs) by one row of the batch."""


class LstmEmptiness:
    """Puts nodes around an LSTM that take the shapes which its kernel does not.

    onnxruntime's ends the whole process on a batch of 0, and takes the initial states for zeros
    where there is no step.
    """

    def __init__(self, lstm: ir.Node, graph: ir.Graph, names: NameGiver) -> None:
        self._lstm = lstm
        self._graph = graph
        self._names = names
        self._base = f"{lstm.outputs[0].name}/empty"

    def admit(self) -> None:
        """Add the nodes that the shape of the LSTM's input leaves a need for."""
        steps = self._lstm.inputs[0]
        if steps is None:
            raise ValueError("the LSTM has no input")
        if _may_be_empty(steps, STEPS_AXIS):
            self._hand_on_states(steps)
        if _may_be_empty(steps, BATCH_AXIS):
            self._pad(steps)

    def _hand_on_states(self, steps: ir.Value) -> None:
        """Make the last states the initial ones where there is no step."""
        _, is_empty = self._length(steps, STEPS_AXIS)
        for index, source in INITIAL.items():
            initial, last = self._lstm.inputs[source], self._lstm.outputs[index]
            if initial is not None and last.uses() and not _is_zero(initial):
                self._replace(last, "Where", [is_empty, initial, last])

    def _pad(self, steps: ir.Value) -> None:
        """Give an empty batch one row of zeros, and take it away from the outputs."""
        batch, is_empty = self._length(steps, BATCH_AXIS)
        count = self._before("Cast", [is_empty], {"to": ir.DataType.INT64})
        pads = self._before("Mul", [count, self._constant(ONE_ROW_BEHIND)])
        for index in (0, *INITIAL.values()):
            self._lstm.replace_input_with(
                index, self._before("Pad", [self._lstm.inputs[index], pads])
            )
        start = self._constant([0])
        for index, axis in BATCHED.items():
            output = self._lstm.outputs[index]
            if output.uses():
                self._replace(output, "Slice", [output, start, batch, self._constant([axis])])

    def _length(self, value: ir.Value, axis: int) -> tuple[ir.Value, ir.Value]:
        """Return the length of an axis, (1), and whether that is 0."""
        shape = self._before("Shape", [value])
        length = self._before("Gather", [shape, self._constant([axis])])
        return length, self._before("Equal", [length, self._constant([0])])

    def _before(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: dict[str, int] | None = None,
    ) -> ir.Value:
        """Add a node before the LSTM and return its output."""
        node = ir.node(op_type, inputs, attributes=attributes)
        node.outputs[0].name = self._names.name(self._base)
        self._graph.insert_before(self._lstm, node)
        return node.outputs[0]

    def _replace(self, output: ir.Value, op_type: str, inputs: Sequence[ir.Value]) -> None:
        """Let all who read an output read what a node behind the LSTM makes of it."""
        node = ir.node(op_type, inputs)
        node.outputs[0].name = self._names.name(self._base)
        readers = list(output.uses())
        self._graph.insert_after(self._lstm, node)
        for reader, index in readers:
            if reader is not node:
                reader.replace_input_with(index, node.outputs[0])

    def _constant(self, numbers: Sequence[int]) -> ir.Value:
        return add_constant(
            self._graph, self._names.name(f"{self._base}/constant"), np.array(numbers, np.int64)
        )


def _may_be_empty(value: ir.Value, axis: int) -> bool:
    """Return whether an axis of a value has a length that is not known, or 0."""
    length = None if value.shape is None else value.shape[axis]
    return not isinstance(length, int) or length == 0


def _is_zero(value: ir.Value) -> bool:
    numbers = array_of(value)
    return numbers is not None and not numbers.any()
