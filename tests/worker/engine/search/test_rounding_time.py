import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.onnx_models import float_value, model_of
from worker.engine.passes.weight_overrides import WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.rounding_time import collecting_seconds, rounding_seconds

FOUR = WeightQuantization(bits=4)


def chain(*widths):
    """A model that multiplies with a matrix from each width to the next."""
    count = len(widths) - 1
    nodes = [
        helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"], name=f"n{n}")
        for n in range(count)
    ]
    return model_of(
        nodes,
        inputs=[float_value("x0", ["batch", widths[0]])],
        outputs=[float_value(f"x{count}", ["batch", widths[-1]])],
        weights={f"w{n}": np.ones(widths[n : n + 2], np.float32) for n in range(count)},
    )


def test_many_inputs_take_more_than_their_values_would():
    wide, narrow = rounding_seconds(FOUR, chain(1000, 50)), rounding_seconds(FOUR, chain(50, 1000))

    # Inverting, absorbing and each value: 0.08 + 0.0215 + 0.032, and 0.00001 + 0.001075 + 0.032.
    assert wide == pytest.approx(0.1335)
    assert narrow == pytest.approx(0.033085)


def test_moments_take_the_square_of_inputs_for_each_sample():
    # For each of 64 samples 0.0004 s, and 0.003 s for a million products.
    assert collecting_seconds(FOUR, chain(1000, 50), samples=64) == pytest.approx(0.2176)


def test_only_weights_below_eight_bits_count():
    eight = WeightQuantization(bits=4, overrides=(WeightOverride(weights=("w1",), bits=8),))

    both, first = rounding_seconds(FOUR, chain(50, 60, 70)), rounding_seconds(FOUR, chain(50, 60))
    assert both > first
    assert rounding_seconds(eight, chain(50, 60, 70)) == first


def test_halves_are_rounded_like_floats():
    all_weights = WeightQuantization(overrides=(WeightOverride(weights=("*",), bits=4),))
    model = chain(50, 60)
    half = numpy_helper.from_array(np.ones((50, 60), np.float16), "w0")
    model.graph.initializer[0].CopyFrom(half)

    assert rounding_seconds(all_weights, model) == rounding_seconds(FOUR, chain(50, 60))
