import onnx_ir as ir
import pytest

from tests.onnx_models import stepping_lstm
from worker.engine.preparation.loop_constants import body_of
from worker.engine.preparation.loop_counting import counts_through


def rows_of(model):
    form = ir.from_proto(model)
    [loop] = [node for node in form.graph if node.op_type == "Loop"]
    gather = next(iter(body_of(loop)))
    return counts_through(loop, gather.outputs[0])


@pytest.mark.parametrize("through", ["number", "iteration"])
def test_a_loop_from_the_first_row_to_the_last_is_found(through):
    rows = rows_of(stepping_lstm(through=through))

    assert rows is not None
    assert rows.name == "rows"


def without_rank():
    model = stepping_lstm()
    model.graph.node[0].op_type = "Identity"
    del model.graph.node[0].attribute[:]
    return model


def starting_at_one():
    model = stepping_lstm()
    model.graph.node[-1].input[2] = "one"
    return model


def ending_when_told():
    model = stepping_lstm()
    model.graph.node[-1].attribute[0].g.node[-1].op_type = "Greater"
    return model


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(stepping_lstm(most="three"), id="fewer rows"),
        pytest.param(stepping_lstm(through="one"), id="one row again and again"),
        pytest.param(starting_at_one(), id="not from the first row"),
        pytest.param(ending_when_told(), id="another condition"),
        pytest.param(without_rank(), id="axes unknown"),
    ],
)
def test_loops_that_may_leave_out_rows_are_not(model):
    assert rows_of(model) is None
