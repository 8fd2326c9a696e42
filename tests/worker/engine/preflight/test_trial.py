import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.inspection import describe
from worker.engine.model_io import read
from worker.engine.preflight import trial
from worker.engine.preflight.trial import try_out


def tried(model, folder):
    path = folder / "model.onnx"
    onnx.save(model, path)
    loaded = read(path, folder / "work")
    return try_out(loaded, describe(loaded.model, loaded.size_bytes).inputs, folder)


def test_counts_the_multiply_accumulates_of_one_run(tmp_path):
    told = tried(linear(np.eye(3)), tmp_path).told

    assert told.input_shapes == {"x": [1, 3]}
    assert told.macs == 9
    assert told.duration_seconds > 0
    assert told.problem is None


def test_gives_the_outputs_of_the_graph_and_no_others(tmp_path):
    outputs = tried(linear(np.eye(3)), tmp_path).outputs

    assert [each.shape for each in outputs] == [(1, 3)]


def test_leaves_no_file_behind(tmp_path):
    tried(linear(np.eye(3)), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_says_why_it_knows_no_multiply_accumulates(tmp_path):
    told = tried(branching(), tmp_path).told

    assert told.macs is None
    assert "control flow" in told.problem
    assert told.duration_seconds > 0


def test_says_which_input_cannot_be_made_up(tmp_path):
    kind = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    node = helper.make_node("SequenceLength", ["x"], ["y"], name="length")
    output = helper.make_tensor_value_info("y", TensorProto.INT64, [])

    told = tried(model_of([node], [kind], [output]), tmp_path).told

    assert told.problem == "the input 'x' is of type sequence, which cannot be made up"
    assert told.duration_seconds is None


def test_says_what_the_runtime_says_of_made_up_inputs(tmp_path):
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="reshape")
    model = model_of(
        [node],
        [float_value("x", ["n"])],
        [float_value("y", [7])],
        {"shape": np.array([7], np.int64)},
    )

    told = tried(model, tmp_path).told

    assert told.problem.startswith("the model does not run on made-up inputs")
    assert told.macs is None


def test_stops_a_run_that_takes_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.05)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("MatMul", ["a", "a"], ["b"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            float_value("a", [64, 64]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            float_value("b", [64, 64]),
        ],
    )
    loop = helper.make_node("Loop", ["turns", "", "x"], ["y"], name="loop", body=body)
    model = model_of(
        [loop],
        [float_value("x", [64, 64])],
        [float_value("y", [64, 64])],
        {"turns": np.array(10**9, np.int64)},
    )

    told = tried(model, tmp_path).told

    assert told.problem == "a run takes more than 0.05 s"
    assert told.input_shapes == {"x": [64, 64]}
