import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from tests.engine_runs import answers
from tests.onnx_models import float_value, model_of
from worker.engine.preparation.scalings import join_scalings

RANDOM = np.random.default_rng(0)
CONSTANTS = {
    "kernel": RANDOM.normal(size=(4, 2, 3, 3)),
    "next": RANDOM.normal(size=(3, 4, 1, 1)),
    "two": np.array([2.0]),
    "half": np.array(0.5),
    "each": np.arange(4.0).reshape(4, 1, 1),
}


def model(first="two", last="Conv", outputs=("y",)):
    """Conv, Relu, a scaling and a shift, then another Conv or a MaxPool."""
    reads = ["shifted", "next"] if last == "Conv" else ["shifted"]
    kernel = {} if last == "Conv" else {"kernel_shape": [1, 1]}
    return model_of(
        [
            helper.make_node("Conv", ["x", "kernel"], ["maps"]),
            helper.make_node("Relu", ["maps"], ["active"]),
            helper.make_node("Mul", ["active", first], ["scaled"]),
            helper.make_node("Add", ["half", "scaled"], ["shifted"]),
            helper.make_node(last, reads, ["y"], **kernel),
        ],
        [float_value("x", [1, 2, 5, 5])],
        [float_value(name, [None] * 4) for name in outputs],
        {name: array.astype(np.float32) for name, array in CONSTANTS.items()},
    )


def joined(original):
    form = ir.from_proto(original)
    join_scalings(form)
    return ir.to_proto(form)


def test_scaling_and_shift_become_one_node_with_the_same_answers():
    feeds = {"x": RANDOM.normal(size=(1, 2, 5, 5)).astype(np.float32)}

    result = joined(model())

    op_types = [node.op_type for node in result.graph.node]
    assert op_types == ["Conv", "Relu", "BatchNormalization", "Conv"]
    assert answers(result, feeds)[0] == pytest.approx(answers(model(), feeds)[0], rel=1e-5)


@pytest.mark.parametrize(
    "original", [model(first="each"), model(last="MaxPool"), model(outputs=("y", "scaled"))]
)
def test_anything_else_is_left_alone(original):
    op_types = [node.op_type for node in joined(original).graph.node]

    assert op_types == [node.op_type for node in original.graph.node]
