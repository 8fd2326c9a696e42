import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of, recurrent
from worker.engine.node_trials import NodeTrials
from worker.engine.quantization.dynamic import WeightOptions, write_dynamic

OPTIONS = WeightOptions(reduce_range=True)
"""Right on every processor."""


def in_integers(model, name):
    return write_dynamic(model, [name], OPTIONS)


def uniform(*shape):
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)


def chain(size):
    """Two MatMuls in a row, of `size` values each; the first ignores its first input."""
    return model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
            helper.make_node("MatMul", ["h", "v"], ["y"], name="second"),
        ],
        [float_value("x", ["rows", size])],
        [float_value("y", ["rows", size])],
        {
            "w": np.vstack([np.zeros(size), uniform(size - 1, size)]).astype(np.float32),
            "v": uniform(size, size),
        },
    )


def test_error_is_that_of_rounding_to_8_bits():
    # Rows of multiples of 1/255 in [0, 1], by an identity: neither rounding errs.
    rows = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul")],
        [float_value("x", [16, 16])],
        [float_value("y", [16, 16])],
        {"w": np.eye(16, dtype=np.float32)},
    )

    trials = NodeTrials(model, ["matmul"], {"x": rows}, in_integers)

    assert trials.error("matmul") < 1e-10


def test_an_ignored_but_huge_input_makes_a_larger_error():
    plain, spiked = uniform(16, 32), uniform(16, 32)
    spiked[0, 0] = 100

    errors = [
        NodeTrials(chain(32), ["first"], {"x": rows}, in_integers).error("first")
        for rows in (plain, spiked)
    ]

    assert errors[1] > 2 * errors[0]


def test_a_tiny_product_is_slower_in_integers():
    trials = NodeTrials(chain(4), ["second"], {"x": uniform(1, 4)}, in_integers)

    assert trials.latency_ratio("second") > 1


def test_nodes_of_the_same_shapes_are_timed_once():
    trials = NodeTrials(chain(32), ["first", "second"], {"x": uniform(4, 32)}, in_integers)

    assert trials.latency_ratio("first") == trials.latency_ratio("second")


@pytest.mark.parametrize("name", ["lstm", "matmul"])
def test_recurrent_nodes_are_tried_on_their_own_inputs(name):
    trials = NodeTrials(recurrent(), ["lstm", "matmul"], {"x": uniform(12, 1, 8)}, in_integers)

    assert trials.error(name) < 1e-2
