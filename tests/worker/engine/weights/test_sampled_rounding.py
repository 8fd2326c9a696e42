import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.weights.finding import find_weights
from worker.engine.weights.rounding import Rounding, stored_bits
from worker.engine.weights.sampled_rounding import part_of, round_sample, spread


def weight_of(model):
    return max(find_weights(model), key=lambda weight: weight.size)


def product(inputs=512, outputs=384):
    return linear(np.random.default_rng(0).normal(size=(inputs, outputs)))


def convolution(channels=256, inputs=64):
    kernel = np.random.default_rng(1).normal(size=(channels, inputs, 3, 3)).astype(np.float32)
    return model_of(
        [helper.make_node("Conv", ["x", "kernel"], ["y"], name="conv")],
        inputs=[float_value("x", [1, inputs, 8, 8])],
        outputs=[float_value("y", [1, channels, 6, 6])],
        weights={"kernel": kernel},
    )


def recurrent(hidden=128):
    random = np.random.default_rng(2)
    return model_of(
        [helper.make_node("LSTM", ["x", "k", "r"], ["", "y"], name="lstm", hidden_size=hidden)],
        inputs=[float_value("x", ["time", 1, 64])],
        outputs=[float_value("y", [1, 1, hidden])],
        weights={
            "k": random.normal(size=(1, 4 * hidden, 64)).astype(np.float32),
            "r": random.normal(size=(1, 4 * hidden, hidden)).astype(np.float32),
        },
    )


def whole(weight):
    return Rounding(weight, numpy_helper.to_array(weight.tensor), None, None)


@pytest.mark.parametrize("make", [product, convolution, recurrent])
def test_a_sample_tells_what_the_whole_takes_at_8_bits(make):
    weight = weight_of(make())

    sampled = round_sample(weight).at_eight_bits()

    assert stored_bits(sampled) == stored_bits(whole(weight).at_eight_bits())


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("make", [product, convolution, recurrent])
def test_a_sample_tells_what_the_whole_takes_in_blocks(make, bits):
    weight = weight_of(make())

    sampled = round_sample(weight).in_blocks(bits, 32)

    assert stored_bits(sampled) == stored_bits(whole(weight).in_blocks(bits, 32))


def test_a_sample_errs_as_the_whole_does():
    weight = weight_of(product())
    sampled, full = round_sample(weight), whole(weight)

    error = sampled.error(sampled.in_blocks(4, 32))

    assert error == pytest.approx(full.error(full.in_blocks(4, 32)), rel=0.05)


def test_a_small_weight_is_rounded_whole():
    weight = weight_of(product(32, 32))

    grid = round_sample(weight).at_eight_bits()

    assert part_of(grid) is grid


def test_a_sampled_grid_holds_the_part_that_was_rounded():
    grid = round_sample(weight_of(product())).at_eight_bits()

    # 2^14 values are 32 of the columns of 512.
    assert grid.values.shape == (512, 384)
    assert part_of(grid).values.shape == (512, 32)


def test_slices_are_spread_evenly():
    array = np.arange(2**16, dtype=np.float32).reshape(1024, 64)

    part = spread(array, 0)

    # 2^14 of 2^16 values are 256 of 1024 rows, the first and the last among them.
    assert part.shape == (256, 64)
    assert (part[0, 0], part[-1, 0]) == (array[0, 0], array[-1, 0])
