import numpy as np
import onnx_ir as ir
import pytest

from tests.engine_runs import answers
from tests.onnx_models import stepping_lstm
from worker.engine.preparation.loop_constants import body_of, take_out_loop_constants

FEEDS = {
    "x": np.random.default_rng(1).normal(size=(2, 5, 2)).astype(np.float32),
    "hidden": np.ones((2, 3), np.float32),
    "cell": np.full((2, 3), 0.5, np.float32),
}


def test_what_no_iteration_changes_is_read_from_outside():
    model = ir.from_proto(stepping_lstm())

    count = take_out_loop_constants(model)

    [loop] = [node for node in model.graph if node.op_type == "Loop"]
    assert count == 3
    assert [value.name for value in loop.inputs] == [
        "length", "has_rows", "zero", "hidden", "cell",
    ]  # fmt: skip
    assert [value.name for value in body_of(loop).inputs] == [
        "iteration", "was_true", "number", "hidden_in", "cell_in",
    ]  # fmt: skip
    for after, before in zip(
        answers(ir.to_proto(model), FEEDS), answers(stepping_lstm(), FEEDS), strict=True
    ):
        assert after == pytest.approx(before, abs=1e-6)


def test_state_that_is_a_graph_output_stays():
    original = stepping_lstm()
    original.graph.output.add().CopyFrom(original.graph.node[-1].attribute[0].g.input[-1])
    original.graph.output[-1].name = "bias_behind"
    model = ir.from_proto(original)

    count = take_out_loop_constants(model)

    assert count == 2
    assert len(answers(ir.to_proto(model), FEEDS)) == 3
