import numpy as np
import pytest
from onnx import helper

from benchmarks.planting import FAULTS
from tests.engine_runs import first_answers
from tests.onnx_models import float_value, model_of

RANDOM = np.random.default_rng(0)
IMAGES = [{"image": RANDOM.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


@pytest.fixture
def convnet():
    """Three layers of which the middle one is between Relus."""
    weights = {
        "w0": RANDOM.normal(0, 0.2, (8, 3, 3, 3)),
        "b0": RANDOM.normal(0, 0.1, 8),
        "w1": RANDOM.normal(0, 0.1, (16, 8, 3, 3)),
        "b1": RANDOM.normal(0, 0.1, 16),
        "w2": RANDOM.normal(0, 0.1, (16, 4)),
    }
    return model_of(
        [
            helper.make_node("Conv", ["image", "w0", "b0"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="relu_0"),
            helper.make_node("Conv", ["b", "w1", "b1"], ["c"], name="second"),
            helper.make_node("Relu", ["c"], ["d"], name="relu_1"),
            helper.make_node("ReduceMax", ["d"], ["e"], name="pool", axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["e", "w2"], ["y"], name="third"),
        ],
        inputs=[float_value("image", ["batch", 3, 8, 8])],
        outputs=[float_value("y", ["batch", 4])],
        weights={name: array.astype(np.float32) for name, array in weights.items()},
    )


@pytest.mark.parametrize(
    ("fault", "culprits"),
    [
        ("half a layer x100", ("first", "second")),
        ("a Concat branch x1000", ("planted_concat", "second")),
        ("a dead channel x1000", ("second",)),
    ],
)
def test_a_planted_fault_leaves_the_float_answers(convnet, fault, culprits):
    planted = FAULTS[fault](convnet)

    sound, answers = (first_answers(model, IMAGES) for model in (planted.sound, planted.model))
    np.testing.assert_allclose(answers, sound, rtol=1e-3, atol=1e-4)
    assert planted.culprits == culprits
