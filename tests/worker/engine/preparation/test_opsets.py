import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.errors import UnsupportedModelError
from worker.engine.graphs import default_opset
from worker.engine.preparation.opsets import merged_opset_imports, raise_opset
from worker.engine.runtime import open_session, run


def test_merges_both_names_of_the_default_domain():
    model = linear(np.eye(2))
    model.opset_import.add(domain="ai.onnx", version=18)
    model.opset_import.add(domain="ai.onnx.ml", version=2)

    assert merged_opset_imports(model) == {"": 18, "ai.onnx.ml": 2}


@pytest.mark.parametrize("minimum", [0, 11, 17])
def test_never_lowers_the_opset(minimum):
    model = linear(np.eye(2))

    assert raise_opset(model, minimum) is model


def test_raises_the_opset_and_keeps_the_rest():
    # Squeeze took its axes as an attribute before opset 13.
    model = model_of(
        [helper.make_node("Squeeze", ["x"], ["y"], name="squeeze", axes=[0])],
        inputs=[float_value("x", [1, "n"])],
        outputs=[float_value("y", ["n"])],
        opset=11,
    )
    model.opset_import.add(domain="ai.onnx.ml", version=2)
    model.metadata_props.add(key="author", value="me")

    raised = raise_opset(model, 13)

    assert merged_opset_imports(raised) == {"": 13, "ai.onnx.ml": 2}
    assert raised.metadata_props == model.metadata_props
    assert raised.graph.input == model.graph.input
    assert np.array_equal(run(open_session(raised), {"x": np.ones((1, 2), np.float32)})[0], [1, 1])
    assert default_opset(model) == 11


def test_large_weights_survive_the_conversion():
    weight = np.random.default_rng(0).normal(size=(2, 400)).astype(np.float32)

    raised = raise_opset(linear(weight), 21)

    answer = run(open_session(raised), {"x": np.array([[1, 0]], np.float32)})[0]
    assert np.array_equal(answer[0], weight[0])


def test_raises_branches_too():
    raised = raise_opset(branching(), 21)

    feeds = {"x": np.ones((1, 8), np.float32), "flag": np.array(False)}
    assert np.array_equal(
        run(open_session(raised), feeds)[0], run(open_session(branching()), feeds)[0]
    )


def test_says_so_where_an_operator_has_no_successor():
    model = linear(np.eye(2))
    model.graph.node[0].op_type = "NoSuchOperator"

    with pytest.raises(UnsupportedModelError, match="raising the model to opset 21 failed"):
        raise_opset(model, 21)
