import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.engine_runs import pass_context
from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.deflating import deflated_size
from worker.engine.model_files import serialize
from worker.engine.passes.float16 import Float16
from worker.engine.preflight.thinning import (
    deflated_size_of_result,
    left_out_bytes,
    size_of_result,
    thin,
)


def random_linear(inputs, outputs):
    weight = np.random.default_rng(0).normal(size=(inputs, outputs))
    return linear(weight)


def copy_of(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def test_a_small_model_stays_whole():
    model = random_linear(64, 64)
    before = model.SerializeToString()

    assert thin(model) == []
    assert model.SerializeToString() == before


def test_a_large_weight_keeps_its_channels_and_some_values_of_each():
    model = random_linear(1024, 128)

    (thinned,) = thin(model)

    weight = next(t for t in model.graph.initializer if t.name == "weight")
    # A MatMul's channels are its columns; 2^14 values are 128 rows of 128.
    assert list(weight.dims) == [128, 128]
    assert (thinned.kept_values, thinned.left_out) == (128 * 128, (1024 - 128) * 128)


def test_the_largest_value_is_kept():
    weight = np.zeros((1024, 128), np.float32)
    weight[777, 5] = -9
    model = linear(weight)

    thin(model)

    kept = numpy_helper.to_array(model.graph.initializer[0])
    assert kept.min() == -9


def test_the_size_is_that_of_the_whole_result(tmp_path):
    model = random_linear(1024, 128)
    whole = Float16().apply(model, pass_context(tmp_path)).model
    part = copy_of(model)
    thinned = thin(part)

    result = Float16().apply(part, pass_context(tmp_path)).model

    # A dimension of 1024 takes as many bytes in the file as one of 128.
    assert size_of_result(result, left_out_bytes(result, thinned)) == pytest.approx(
        whole.ByteSize(), abs=8
    )


def test_a_weight_that_stays_float_counts_four_bytes_a_value():
    model = random_linear(1024, 128)
    part = copy_of(model)
    thinned = thin(part)

    assert size_of_result(part, left_out_bytes(part, thinned)) == pytest.approx(
        model.ByteSize(), abs=8
    )


def test_the_deflated_size_is_near_that_of_the_whole():
    weight = np.random.default_rng(0).normal(size=(2048, 512))
    weight[np.abs(weight) < 0.5] = 0
    model = linear(weight)
    part = copy_of(model)
    thinned = thin(part)

    found = deflated_size_of_result(part, thinned)

    assert found == pytest.approx(deflated_size([serialize(model)]), rel=0.02)


def test_a_weight_of_zeros_says_nothing_of_a_larger_one_beside_it():
    random = np.random.default_rng(0)
    dense, empty = random.normal(size=(4096, 256)), np.zeros((256, 256))
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "dense"], ["h"], name="first"),
            helper.make_node("MatMul", ["h", "empty"], ["y"], name="second"),
        ],
        inputs=[float_value("x", ["batch", 4096])],
        outputs=[float_value("y", ["batch", 256])],
        weights={"dense": dense.astype(np.float32), "empty": empty.astype(np.float32)},
    )
    part = copy_of(model)
    thinned = thin(part)

    found = deflated_size_of_result(part, thinned)

    assert found == pytest.approx(deflated_size([serialize(model)]), rel=0.02)


def test_weights_inside_bodies_are_deflated_too():
    model = branching()
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    body = model.graph.node[1].attribute[1].g
    body.initializer[0].CopyFrom(numpy_helper.from_array(weight, "inner"))
    whole = deflated_size([serialize(model)])

    assert deflated_size_of_result(model, []) == pytest.approx(whole, rel=0.02)


def test_a_weight_with_channels_along_every_axis_stays_whole():
    names = ["x", "kernel", "recurrent"]
    model = model_of(
        [helper.make_node("LSTM", names, ["", "y"], name="lstm", hidden_size=16384)],
        inputs=[float_value("x", ["time", 1, 1])],
        outputs=[float_value("y", [1, 1, 16384])],
        weights={
            "kernel": np.ones((1, 4 * 16384, 1), np.float32),
            "recurrent": np.ones((1, 4, 1), np.float32),
        },
    )

    assert thin(model) == []
