import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.operations import PreflightModel, run
from worker.engine.preflight.cautions import stateful_inputs
from worker.engine.requests import TensorInfo


def cautions_of(model, folder):
    path = folder / "model.onnx"
    onnx.save(model, path)
    found = run(PreflightModel(model_path=path, workdir=folder), lambda *_: None)
    return {each.code: each for each in found.warnings}


def floats(name, *shape):
    return TensorInfo(name=name, dtype="float32", shape=list(shape))


@pytest.mark.parametrize(
    ("inputs", "outputs", "pairs"),
    [
        ([floats("state", 2, None, 8)], [floats("stateN", 2, 1, 8)], {"state": "stateN"}),
        (
            [floats("h", 1, 1, 8), floats("c", 1, 1, 8)],
            [floats("p", 4), floats("hn", 1, "b", 8), floats("cn", 1, "b", 8)],
            {"h": "hn", "c": "cn"},
        ),
        ([floats("state", 2, 1, 8)], [floats("other", 2, 1, 9)], {}),
        ([floats("image", 1, 3)], [floats("picture", 1, 3)], {}),
    ],
)
def test_pairs_states_with_the_outputs_that_give_them_back(inputs, outputs, pairs):
    assert stateful_inputs(inputs, outputs) == pairs


def test_a_plain_model_of_a_new_opset_has_nothing_to_say(tmp_path):
    model = linear(np.random.default_rng(0).normal(size=(32, 32)))
    model.opset_import[0].version = 25
    model.ir_version = 13

    assert cautions_of(model, tmp_path) == {}


def test_knows_token_ids_by_the_table_they_look_up(tmp_path):
    model = model_of(
        [helper.make_node("Gather", ["table", "words"], ["y"], name="gather")],
        inputs=[helper.make_tensor_value_info("words", TensorProto.INT64, ["batch", "length"])],
        outputs=[float_value("y", ["batch", "length", 8])],
        weights={"table": np.ones((100, 8), np.float32)},
    )

    found = cautions_of(model, tmp_path)

    assert found["token_ids"].names == ["words"]
    assert found["free_dimensions"].names == ["words"]


def test_knows_declared_shapes_that_a_run_contradicts(tmp_path):
    model = linear(np.random.default_rng(0).normal(size=(32, 32)))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 31

    assert cautions_of(model, tmp_path)["false_shapes"].names == ["y"]


def test_names_the_opsets_that_methods_raise_the_model_to(tmp_path):
    found = cautions_of(linear(np.random.default_rng(0).normal(size=(32, 32))), tmp_path)

    assert "opset 17; methods raise it to 21, 25" in found["opset_raised"].message


def test_names_weights_that_callers_can_override(tmp_path):
    model = linear(np.random.default_rng(0).normal(size=(32, 32)))
    model.graph.input.append(float_value("weight", [32, 32]))

    assert cautions_of(model, tmp_path)["weights_listed_as_inputs"].names == ["weight"]


def test_a_model_that_no_made_up_input_runs_needs_data(tmp_path):
    model = model_of(
        [helper.make_node("Reshape", ["x", "shape"], ["y"], name="reshape")],
        [float_value("x", ["n"])],
        [float_value("y", [7])],
        {"shape": np.array([7], np.int64)},
    )

    found = cautions_of(model, tmp_path)

    assert found["no_trial_run"].message.endswith("a job needs a calibration dataset")


def test_small_weights_in_bodies_are_no_matter(tmp_path):
    assert "weights_in_subgraphs" not in cautions_of(branching(), tmp_path)
