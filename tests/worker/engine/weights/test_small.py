import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of, small_convnet
from worker.engine.weights.small import small_halves


def names_of(model, minimum_values=512):
    return [weight.name for weight in small_halves(model, minimum_values)]


def shifted(values, op_type="Add"):
    """A model whose one node combines its input with constants."""
    constants = np.asarray(values, np.float32)
    return model_of(
        [helper.make_node(op_type, ["x", "c"], ["y"], name="node")],
        [float_value("x", ["batch", *constants.shape])],
        [float_value("y", ["batch", *constants.shape])],
        {"c": constants},
    )


def test_a_weight_is_halved_that_saves_more_than_its_cast_takes():
    """Halved, the 432 values of `kernel` save 864 bytes, and the 16 of `shift` 32: no more than a
    Cast takes."""
    assert names_of(small_convnet()) == ["kernel"]


def test_weights_with_scales_of_their_own_are_not_halved_too():
    assert names_of(small_convnet(), minimum_values=432) == []


def test_a_bias_may_hold_values_that_are_next_to_nothing():
    bias = np.ones(100)
    bias[3] = 1e-9

    assert names_of(shifted(bias)) == ["c"]


def test_a_weight_that_is_multiplied_keeps_the_digits_of_its_smallest_value():
    weight = np.ones((10, 10))
    weight[3, 3] = 1e-9

    assert names_of(linear(weight)) == []


@pytest.mark.parametrize("value", [70_000, np.inf, np.nan])
def test_numbers_that_float16_lacks_stay(value):
    assert names_of(shifted([value] * 100)) == []


@pytest.mark.parametrize(
    "model",
    [shifted(np.ones(100), "Mul"), shifted(np.ones((10, 10)))],
    ids=["factors", "a table of places"],
)
def test_what_may_be_no_weight_stays(model):
    assert names_of(model) == []
