import numpy as np
import onnx
import pytest
from onnx import helper

from tests.engine_runs import answers
from tests.onnx_models import float_value, model_of
from worker.engine.calibration.channels import MapChannels
from worker.engine.quantization.bias_correction import (
    BiasCorrections,
    correctable,
    lacking,
)
from worker.engine.quantization.graph_view import GraphView
from worker.engine.weights.remaining import RemainingWeights

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.uniform(1, 3, size=(8, 4, 6, 6)).astype(np.float32)
ROWS = RANDOM.uniform(1, 3, size=(8, 5)).astype(np.float32)


def mean_of(array):
    seen = MapChannels()
    seen.update(array)
    return seen.means


def conv(kernel, groups=1, bias=None):
    reads = ["x", "kernel", *([] if bias is None else ["bias"])]
    weights = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return model_of(
        [helper.make_node("Conv", reads, ["y"], name="conv", group=groups)],
        [float_value("x", [None, 4, 6, 6])],
        [float_value("y", [None] * 4)],
        {name: array.astype(np.float32) for name, array in weights.items()},
    )


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution_lacks_the_mean_of_what_the_error_would_add(groups):
    error = RANDOM.normal(size=(8, 4 // groups, 1, 1))
    model = conv(error, groups)

    found = lacking(model.graph.node[0], error, mean_of(IMAGES))

    added = answers(model, {"x": IMAGES})[0]
    assert found == pytest.approx(added.mean(axis=(0, 2, 3)), rel=1e-4)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_product_lacks_the_mean_of_what_the_error_would_add(transposed):
    error = RANDOM.normal(size=(5, 3))
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)

    found = lacking(node, error.T if transposed else error, mean_of(ROWS))

    assert found == pytest.approx((ROWS @ error).mean(axis=0))


def test_a_bias_that_the_graph_computes_is_left_alone():
    model = conv(RANDOM.normal(size=(8, 4, 3, 3)), bias=RANDOM.normal(size=8))
    del model.graph.initializer[1]
    model.graph.input.append(float_value("bias", [8]))

    assert correctable(GraphView(model.graph), {"kernel"}) == []


@pytest.mark.parametrize("bias", [None, RANDOM.normal(size=64)])
def test_stored_weights_keep_the_mean_of_each_output_channel(bias):
    model = conv(RANDOM.normal(size=(64, 4, 3, 3)), bias=bias)
    feeds, means = {"x": IMAGES}, {"conv": mean_of(IMAGES)}
    expected = answers(model, feeds)[0].mean(axis=(0, 2, 3))

    plain, corrected = copy(model), copy(model)
    RemainingWeights(model).round(plain, ())
    RemainingWeights(model, BiasCorrections(means)).round(corrected, ())

    errors = [
        np.abs(answers(each, feeds)[0].mean(axis=(0, 2, 3)) - expected).mean()
        for each in (plain, corrected)
    ]
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("halves", [(), {"kernel"}])
def test_what_is_judged_is_what_is_stored(halves):
    model = conv(RANDOM.normal(size=(64, 4, 3, 3)))
    remaining = RemainingWeights(model, BiasCorrections({"conv": mean_of(IMAGES)}))
    rounded, stored = remaining.round(copy(model), halves), copy(model)
    remaining.store(stored, halves)

    assert np.array_equal(answers(stored, {"x": IMAGES})[0], answers(rounded, {"x": IMAGES})[0])


def copy(model):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result
