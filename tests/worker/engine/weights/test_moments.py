from dataclasses import dataclass

import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.runtime import open_session, run
from worker.engine.samples import Sample
from worker.engine.weights.finding import find_weights
from worker.engine.weights.moments import RESOLUTION, collect, multiplied_layers


@dataclass
class GivenSamples:
    samples: list[Sample]
    origin: str = "dataset"

    def __len__(self):
        return len(self.samples)

    def __iter__(self):
        return iter(self.samples)


def collected(model, arrays):
    weights = find_weights(model)
    layers = multiplied_layers(weights, model)
    samples = GivenSamples([Sample({"x": array}) for array in arrays])
    collect(model, weights, layers, samples, lambda _: None)
    return layers


def test_a_matmul_has_the_moments_of_its_rows():
    rows = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]], np.float32)

    layer = collected(linear(np.ones((2, 3))), [rows[:2], rows[2:]])["weight"]

    assert np.allclose(layer.moments[0], rows.T @ rows)


def test_few_inputs_need_few_rows_of_each_sample():
    """Two inputs, 16 samples: 256 rows for each input are 32 of each sample, evenly spaced."""
    rows = np.stack([np.arange(63), np.ones(63)], axis=1).astype(np.float32)

    layer = collected(linear(np.ones((2, 3))), [rows] * 16)["weight"]

    assert layer.rows == 16 * 32
    assert np.allclose(layer.moments[0], 16 * rows[::2].T @ rows[::2])


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"strides": [2, 1], "dilations": [1, 2]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"group": 2, "pads": [0, 1, 2, 1]},
    ],
)
def test_a_conv_has_the_moments_of_its_patches(attributes):
    """For any weight, the output's power is tr(W H W^T): checked against the Conv itself."""
    random = np.random.default_rng(1)
    kernel = random.normal(size=(4, 4 // attributes.get("group", 1), 3, 2)).astype(np.float32)
    model = model_of(
        [helper.make_node("Conv", ["x", "kernel"], ["y"], name="conv", **attributes)],
        inputs=[float_value("x", ["batch", 4, 9, 8])],
        outputs=[float_value("y", ["batch", 4, "height", "width"])],
        weights={"kernel": kernel},
    )
    images = [random.normal(size=(1, 4, 9, 8)).astype(np.float32) for _ in range(3)]

    layer = collected(model, images)["kernel"]

    session = open_session(model)
    power = sum(np.square(run(session, {"x": image})[0]).sum() for image in images)
    matrices = layer.as_matrices(kernel)
    assert np.isclose(np.einsum("gci,gij,gcj->", matrices, layer.moments, matrices), power)
    assert np.array_equal(layer.from_matrices(matrices), kernel)


def test_few_rows_are_trusted_only_so_far():
    """Two inputs, four rows: the diagonal grows by 0.01 + 2 / 4 of its mean, (8 + 0) / 2."""
    rows = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [-2.0, 0.0]], np.float32)

    layer = collected(linear(np.ones((2, 3))), [rows])["weight"]

    assert layer.rows == 4
    assert np.allclose(layer.damped_moments()[0], [[8 + 0.51 * 4, 0], [0, 4 + 0.51 * 4]])
    assert np.allclose(layer.moments[0], [[8, 0], [0, 0]])


def test_a_transposed_conv_has_the_moments_of_each_position():
    """With a kernel as wide as the stride nothing overlaps, so the output's power is exact."""
    random = np.random.default_rng(6)
    kernel = random.normal(size=(4, 3, 2, 2)).astype(np.float32)
    model = model_of(
        [helper.make_node("ConvTranspose", ["x", "kernel"], ["y"], name="up", strides=[2, 2])],
        inputs=[float_value("x", ["batch", 4, 5, 3])],
        outputs=[float_value("y", ["batch", 3, 10, 6])],
        weights={"kernel": kernel},
    )
    image = random.normal(size=(1, 4, 5, 3)).astype(np.float32)

    layer = collected(model, [image])["kernel"]

    matrices = layer.as_matrices(kernel)
    power = np.square(run(open_session(model), {"x": image})[0]).sum()
    assert np.isclose(np.einsum("gci,gij,gcj->", matrices, layer.moments, matrices), power)
    assert np.array_equal(layer.from_matrices(matrices), kernel)


def test_a_weight_with_two_readers_is_left_out():
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "weight"], ["once"], name="first"),
            helper.make_node("MatMul", ["once", "weight"], ["y"], name="second"),
        ],
        inputs=[float_value("x", ["batch", 3])],
        outputs=[float_value("y", ["batch", 3])],
        weights={"weight": np.eye(3, dtype=np.float32)},
    )

    assert multiplied_layers(find_weights(model), model) == {}


def test_centred_moments_are_those_about_the_mean():
    rows = np.random.default_rng(2).normal(3, 1, (50, 4)).astype(np.float32)
    layer = collected(linear(np.ones((4, 3))), [rows])["weight"]

    layer.is_centred = True

    expected = 50 * np.cov(rows.T, bias=True)
    expected += RESOLUTION * np.diag(np.square(rows).sum(axis=0))
    assert np.allclose(layer.seen_moments()[0], expected, rtol=1e-3)


def test_centred_moments_of_inputs_that_never_change_can_be_inverted():
    layer = collected(linear(np.ones((2, 3))), [np.full((20, 2), 7.3, np.float32)])["weight"]

    layer.is_centred = True

    np.linalg.cholesky(layer.damped_moments())
