import numpy as np
from onnx import TensorProto, helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.quantization.stored_integers import decoding_products


def decoded(*nodes):
    """Integers and a scale, and what is made of them."""
    weights = {"integers": np.ones((2, 2), np.int8), "scale": np.ones(2, np.float32)}
    return model_of(
        [helper.make_node("Cast", ["integers"], ["floats"], to=TensorProto.FLOAT), *nodes],
        inputs=[],
        outputs=[float_value("y", [2, 2])],
        weights=weights,
    )


def test_names_the_integers_and_what_scales_them():
    product = helper.make_node("Mul", ["floats", "scale"], ["y"])

    assert decoding_products(decoded(product)) == {"integers": product}


def test_integers_that_nothing_scales_are_no_weights():
    assert decoding_products(decoded(helper.make_node("Neg", ["floats"], ["y"]))) == {}
    assert decoding_products(linear(np.eye(2))) == {}
