import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of
from worker.engine.weights import native
from worker.engine.weights.finding import find_weights
from worker.engine.weights.native import faster_packed, native_layout


def product(op_type="MatMul", opset=21, size=64, **attributes):
    return model_of(
        [helper.make_node(op_type, ["x", "w"], ["y"], name="product", **attributes)],
        [float_value("x", ["rows", size])],
        [float_value("y", ["rows", size])],
        {"w": np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)},
        opset=opset,
    )


def layout_of(model):
    return native_layout(find_weights(model)[0], model, 32)


def test_a_matmul_and_a_plain_gemm_have_a_packed_form():
    assert layout_of(product()).shape == (2, 32, 64)
    assert layout_of(product("Gemm")).shape == (2, 32, 64)


@pytest.mark.parametrize(
    "model",
    [
        product(opset=17),
        product("Gemm", transB=1),
        product("Gemm", alpha=0.5),
        product(size=36),
    ],
    ids=["old opset", "transposed", "scaled", "blocks of 36"],
)
def test_others_have_none(model):
    assert layout_of(model) is None


def test_timing_names_only_weights_that_have_a_packed_form():
    model = product(opset=17)

    assert faster_packed(model, find_weights(model), {"x": np.ones((1, 64))}, 8, 32) == set()


def test_a_node_too_small_to_tell_is_not_timed(monkeypatch):
    monkeypatch.delattr(native, "NodeTrials")
    model = product()

    assert faster_packed(model, find_weights(model), {"x": np.ones((1, 64))}, 8, 32) == set()


def test_timing_runs_both_forms_of_a_node():
    model = product(size=128)
    feeds = {"x": np.ones((1, 128), np.float32)}

    assert faster_packed(model, find_weights(model), feeds, 4, 32) <= {"w"}
