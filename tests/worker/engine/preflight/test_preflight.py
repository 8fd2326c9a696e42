"""Preflights of whole models, beside what jobs then give."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.hostile_models import external, random_bytes, recursive_function, truncated
from tests.onnx_models import float_value, model_of, recurrent, small_convnet
from worker.engine.errors import EngineError, InvalidModelError, UnsupportedModelError
from worker.engine.operations import CompressModel, PreflightModel, run
from worker.engine.preflight import prepared
from worker.engine.preflight.forecasting import FORESEEN
from worker.engine.spec import Spec


def no_progress(stage, fraction):
    pass


def preflight_of(content, folder):
    path = folder / "model.onnx"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return run(PreflightModel(model_path=path, workdir=folder), no_progress)


def report_of(passes, folder):
    spec = {
        "passes": [step.model_dump() for step in passes],
        "evaluation": {"latency": None, "ruin_below_sqnr_db": None},
    }
    request = CompressModel(
        model_path=folder / "model.onnx",
        spec=Spec.model_validate(spec),
        artifact_folder=folder / "artifact",
        workdir=folder,
    )
    return run(request, no_progress).report


def wide_network():
    """Two layers whose weights are cut down, with a bias and an activation between them."""
    random = np.random.default_rng(0)
    return model_of(
        [
            helper.make_node("Gemm", ["x", "first", "shift"], ["hidden"], name="gemm"),
            helper.make_node("Relu", ["hidden"], ["active"], name="relu"),
            helper.make_node("MatMul", ["active", "second"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["batch", 256])],
        outputs=[float_value("y", ["batch", 64])],
        weights={
            "first": random.normal(size=(256, 512)).astype(np.float32),
            "shift": random.normal(size=512).astype(np.float32),
            "second": random.normal(size=(512, 64)).astype(np.float32),
        },
    )


def choosing_network():
    """An If whose bodies multiply with weights of their own."""
    random = np.random.default_rng(0)

    def body(name):
        weight = random.normal(size=(64, 64)).astype(np.float32)
        return helper.make_graph(
            [helper.make_node("MatMul", ["x", f"{name}_weight"], ["chosen"], name=name)],
            name,
            [],
            [float_value("chosen", ["batch", 64])],
            [numpy_helper.from_array(weight, f"{name}_weight")],
        )

    node = helper.make_node(
        "If", ["flag"], ["y"], name="choice", then_branch=body("one"), else_branch=body("other")
    )
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    inputs = [float_value("x", ["batch", 64]), flag]
    return model_of([node], inputs, [float_value("y", ["batch", 64])])


MODELS = {"wide": wide_network, "lstm": recurrent, "if": choosing_network}


@pytest.mark.parametrize("step", FORESEEN, ids=lambda it: f"{it.method}{getattr(it, 'bits', '')}")
@pytest.mark.parametrize("name", MODELS)
def test_a_job_gives_a_size_in_the_range_that_was_forecast(tmp_path, name, step):
    found = preflight_of(MODELS[name](), tmp_path)
    (forecast,) = (each for each in found.forecasts if each.passes == [step])

    report = report_of([step], tmp_path)

    size = getattr(report.after, forecast.measure)
    assert 0.95 * size <= forecast.size_range.high
    assert forecast.size_range.low <= 1.05 * size


@pytest.mark.parametrize("make", [wide_network, small_convnet, choosing_network])
def test_what_needs_no_measuring_is_forecast_closely(tmp_path, make):
    found = preflight_of(make(), tmp_path)
    eight = found.forecasts[0]

    report = report_of(eight.passes, tmp_path)

    assert eight.size_bytes == pytest.approx(report.after.size_bytes, rel=0.005)
    assert eight.touched == report.passes[0].changed_nodes


def test_the_recommended_specs_are_jobs_that_succeed(tmp_path):
    found = preflight_of(wide_network(), tmp_path)

    for recommended in (found.recommended_without_data, found.recommended_with_data):
        spec = Spec.model_validate_json(recommended.spec.model_dump_json())
        request = CompressModel(
            model_path=tmp_path / "model.onnx",
            spec=spec,
            artifact_folder=tmp_path / f"artifact{spec.passes[0].bits}",
            workdir=tmp_path,
        )
        assert run(request, no_progress).report.verdict.passed


def test_a_model_without_weights_is_left_as_it_is(tmp_path):
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"], name="relu")],
        [float_value("x", ["batch", 4])],
        [float_value("y", ["batch", 4])],
    )

    found = preflight_of(model, tmp_path)

    assert {each.refusal.code for each in found.forecasts} == {"nothing_to_compress"}
    with pytest.raises(EngineError) as refused:
        report_of(found.forecasts[0].passes, tmp_path)
    assert str(refused.value) == found.forecasts[0].refusal.message
    assert found.recommended_without_data.spec is None
    assert found.recommended_without_data.reason.startswith("leave the model as it is")
    assert "no_float_weights" in [each.code for each in found.warnings]


def test_a_quantized_model_is_sent_back_for_its_float_one(tmp_path):
    model = model_of(
        [
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"], name="dequantize"),
            helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul"),
        ],
        [float_value("x", ["batch", 32])],
        [float_value("y", ["batch", 32])],
        {"q": np.ones((32, 32), np.int8), "s": np.float32(0.5)},
    )

    found = preflight_of(model, tmp_path)

    assert {each.refusal.code for each in found.forecasts} == {"already_quantized"}
    assert found.model.quantized_op_counts == {"DequantizeLinear": 1}
    assert "already_quantized" in [each.code for each in found.warnings]
    assert "float model it was made from" in found.recommended_with_data.reason


def test_leaves_nothing_behind(tmp_path):
    preflight_of(wide_network(), tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_is_the_same_each_time(tmp_path):
    found = [preflight_of(wide_network(), tmp_path).model_dump() for _ in range(2)]
    for each in found:
        each["model"]["trial_run"].pop("duration_seconds")
        for forecast in each["forecasts"]:
            forecast.pop("duration_seconds")

    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (random_bytes(), InvalidModelError, "not an ONNX model"),
        (truncated(), InvalidModelError, "damaged or cut off"),
        (external("weights.bin"), InvalidModelError, "upload both in one"),
        (recursive_function(), UnsupportedModelError, "inline them"),
    ],
    ids=["random", "truncated", "external", "recursive"],
)
def test_says_what_is_wrong_with_a_hostile_model(tmp_path, content, error, words):
    with pytest.raises(error, match=words):
        preflight_of(content, tmp_path)


def test_what_cannot_be_raised_to_a_new_opset_can_still_be_forecast(tmp_path, monkeypatch):
    def refuse(model, minimum):
        if minimum > 13:
            raise UnsupportedModelError("no node can be raised that far")
        return model

    monkeypatch.setattr(prepared, "raise_opset", refuse)

    found = preflight_of(wide_network(), tmp_path)

    eight, four, two, *others = found.forecasts
    assert (four.refusal.code, two.refusal.code) == ("unsupported_model", "unsupported_model")
    assert [each.refusal for each in (eight, *others)] == [None] * 5
    assert "opset_too_old" in [each.code for each in found.warnings]
    assert found.recommended_with_data.spec.passes[0].bits == 8


def test_a_size_that_data_decide_is_not_called_certain(tmp_path):
    found = preflight_of(wide_network(), tmp_path)

    certain = {
        getattr(each.passes[0], "bits", each.passes[0].method): each.size_is_certain
        for each in found.forecasts
    }
    assert certain[8] is True
    assert certain[2] is False
