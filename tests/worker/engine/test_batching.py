import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.batching import MAX_BATCH_BYTES, MOST_SAMPLES, BatchRunner, Groups
from worker.engine.errors import VerificationError
from worker.engine.runtime import open_session
from worker.engine.samples import Sample


def rows(*values):
    return [{"x": np.array([value], np.float32)} for value in values]


@pytest.fixture
def runs(monkeypatch):
    """How many samples each run took."""
    seen = []

    def counted(session, feeds, failure):
        seen.append(len(feeds["x"]))
        return session.run(None, feeds)

    monkeypatch.setattr("worker.engine.batching.run", counted)
    return seen


def answers(model, group):
    runner = BatchRunner(open_session(model), VerificationError)
    return [outputs[0].tolist() for outputs in runner.run(group)]


def test_runs_samples_together_and_those_at_the_ends_alone(runs):
    found = answers(linear([[1, 0], [0, 2]]), rows([1, 2], [3, 4], [5, 6]))

    assert found == [[[1, 4]], [[3, 8]], [[5, 12]]]
    assert runs == [3, 1, 1]


def test_checks_another_sample_each_time(monkeypatch):
    alone = []
    runner = BatchRunner(open_session(linear(np.eye(2))), VerificationError)
    run_alone = runner._run_alone
    monkeypatch.setattr(
        runner, "_run_alone", lambda feeds: alone.append(feeds["x"][0, 0]) or run_alone(feeds)
    )

    for _ in range(3):
        runner.run(rows([1, 0], [2, 0]))

    assert alone == [1, 2, 2, 1]


def mean_of_batch():
    """Subtracts the mean of the whole batch: its answers depend on what runs beside them."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1, axes=[0]),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return model_of(nodes, [float_value("x", ["n", 2])], [float_value("y", ["n", 2])])


def test_a_model_that_mixes_samples_runs_them_one_by_one(runs):
    group = rows([1, 2], [3, 4])

    assert answers(mean_of_batch(), group) == [[[0, 0]], [[0, 0]]]
    assert runs == [2, 1, 1, 1]


@pytest.mark.parametrize("reverse", [0, 1], ids=["forwards", "backwards"])
def test_a_model_whose_first_axis_is_time_runs_samples_one_by_one(reverse):
    axis = {"axis": np.array(0)}
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], reverse=reverse)
    model = model_of([node], [float_value("x", ["n", 2])], [float_value("y", ["n", 2])], axis)

    assert answers(model, rows([1, 2], [3, 4])) == [[[1, 2]], [[3, 4]]]


def test_dynamic_quantization_runs_samples_one_by_one():
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    model = model_of(nodes, [float_value("x", ["n", 2])], [float_value("y", ["n", 2])])
    group = rows([0.1, 0.2], [30, 40])

    alone = [answers(model, [feeds])[0] for feeds in group]

    assert answers(model, group) == alone


def test_a_fixed_first_axis_takes_one_sample(runs):
    model = model_of(
        [helper.make_node("Neg", ["x"], ["y"])],
        [float_value("x", [1, 2])],
        [float_value("y", [1, 2])],
    )

    assert answers(model, rows([1, 2], [3, 4])) == [[[-1, -2]], [[-3, -4]]]
    assert runs == [1, 1]


def test_an_output_without_a_row_for_each_sample_takes_one(runs):
    model = model_of(
        [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)],
        [float_value("x", ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", 1])],
    )

    assert answers(model, rows([1, 2], [3, 4])) == [[[3]], [[7]]]


def test_a_model_that_fails_alone_fails_as_asked():
    runner = BatchRunner(open_session(linear(np.eye(2))), VerificationError)

    with pytest.raises(VerificationError, match="running the model failed"):
        runner.run(rows([1, 2, 3], [4, 5, 6]))


def samples(*shapes):
    return [Sample({"x": np.zeros(shape, np.float32)}) for shape in shapes]


def sizes(all_samples, answer=None):
    groups, found = Groups(all_samples), []
    for group in groups:
        found.append(len(group))
        groups.note([np.zeros(1)] if answer is None else answer)
    return found


def test_small_samples_of_one_shape_form_groups_after_the_first():
    assert sizes(samples(*[(1, 2)] * 40)) == [1, MOST_SAMPLES, MOST_SAMPLES, 7]


def test_another_shape_begins_another_group():
    assert sizes(samples((1, 2), (1, 2), (1, 2), (1, 3), (1, 3))) == [1, 2, 2]


def test_large_inputs_or_answers_run_one_by_one():
    large = MAX_BATCH_BYTES // 4

    assert sizes(samples(*[(1, large)] * 3)) == [1, 1, 1]
    assert sizes(samples(*[(1, 2)] * 3), [np.zeros(large, np.float32)]) == [1, 1, 1]
