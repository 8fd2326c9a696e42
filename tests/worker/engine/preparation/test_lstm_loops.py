import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.engine_runs import answers
from tests.onnx_models import stepping_lstm
from worker.engine.preparation.lstm_loops import join_lstm_loops
from worker.engine.preparation.prepare import prepare

FEEDS = {
    "x": np.random.default_rng(1).normal(size=(2, 5, 2)).astype(np.float32),
    "hidden": np.ones((2, 3), np.float32),
    "cell": np.full((2, 3), 0.5, np.float32),
}


def op_types(model):
    return [node.op_type for node in model.graph.node]


def changed(index, **fields) -> onnx.ModelProto:
    """The Loop with other inputs or another op type of one node of its body."""
    model = stepping_lstm()
    node = model.graph.node[-1].attribute[0].g.node[index]
    if "inputs" in fields:
        del node.input[:]
        node.input.extend(fields["inputs"])
    node.op_type = fields.get("op_type", node.op_type)
    return model


@pytest.mark.parametrize("add_order", [0, 1])
def test_a_loop_over_the_steps_of_an_lstm_becomes_one_node_with_the_same_answers(add_order):
    original = stepping_lstm(add_order=add_order)

    prepared = prepare(original, feeds=FEEDS)

    assert op_types(prepared.model).count("LSTM") == 1
    assert "Loop" not in op_types(prepared.model)
    assert "Loops over the steps of an LSTM joined: 1" in prepared.notes
    for after, before in zip(answers(prepared.model, FEEDS), answers(original, FEEDS), strict=True):
        assert after == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        changed(6, op_type="HardSigmoid"),
        changed(9, op_type="Relu"),
        changed(10, inputs=["open_f", "hidden_in"]),
        changed(13, inputs=["cell_in"]),
        changed(3, inputs=["product", "product"]),
        changed(1, inputs=["hidden_in", "recurrent_in"]),
    ],
)
def test_any_other_step_stays_a_loop(other):
    assert "Loop" in op_types(prepare(other).model)


def test_a_state_that_is_read_behind_the_loop_and_no_lstm_gives_stays():
    model = stepping_lstm()
    model.graph.output.add().CopyFrom(
        onnx.helper.make_tensor_value_info("count", onnx.TensorProto.INT64, [])
    )

    assert "Loop" in op_types(prepare(model).model)


def test_graphs_without_axes_as_inputs_stay():
    model = ir.from_proto(stepping_lstm())
    model.opset_imports[""] = 12

    assert join_lstm_loops(model) == 0
