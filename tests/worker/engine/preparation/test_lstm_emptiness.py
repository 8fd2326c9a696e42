import numpy as np
import onnx
import pytest

from tests.engine_runs import answers
from tests.onnx_models import stepping_lstm
from worker.engine.preparation.prepare import prepare


@pytest.mark.parametrize(
    ("batch", "steps"), [(0, 5), (0, 0), (2, 0), (2, 1), (1, 5), (1, 1), (2, 2000)]
)
def test_the_node_answers_inputs_of_any_lengths_as_the_loop_does(batch, steps):
    original = stepping_lstm()
    feeds = {
        "x": np.random.default_rng(1).normal(size=(batch, steps, 2)).astype(np.float32),
        "hidden": np.full((batch, 3), 0.25, np.float32),
        "cell": np.full((batch, 3), 0.5, np.float32),
    }

    joined = prepare(original).model

    # The kernel ends the whole process on a batch of 0: this test is then the last that is heard.
    for after, before in zip(answers(joined, feeds), answers(original, feeds), strict=True):
        # Not by their shapes: a Loop without a step takes any length that it does not know for 0.
        assert after.ravel() == pytest.approx(before.ravel(), abs=1e-5)


def test_no_node_guards_against_emptiness_that_the_shapes_exclude():
    original = stepping_lstm()
    for value in original.graph.input:
        for dim in value.type.tensor_type.shape.dim[:2]:
            dim.dim_value = dim.dim_value or 4

    joined = prepare(onnx.shape_inference.infer_shapes(original)).model

    assert {"Pad", "Where"}.isdisjoint({node.op_type for node in joined.graph.node})
