import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from tests.engine_runs import answers
from tests.onnx_models import float_value, model_of
from worker.engine.preparation.activations import join_hard_sigmoids

HARD_SIGMOID = [
    helper.make_node("Add", ["x", "three"], ["shifted"]),
    helper.make_node("Clip", ["shifted", "zero", "six"], ["clipped"]),
]
HARD_SWISH = [
    *HARD_SIGMOID,
    helper.make_node("Mul", ["x", "clipped"], ["product"]),
    helper.make_node("Div", ["product", "six"], ["y"]),
]


def model(nodes, limit=6.0, outputs=("y",)):
    constants = {"zero": 0.0, "three": 3.0, "six": limit}
    return model_of(
        nodes,
        [float_value("x", ["n"])],
        [float_value(name, ["n"]) for name in outputs],
        {name: np.array(value, np.float32) for name, value in constants.items()},
    )


def joined(original) -> onnx.ModelProto:
    form = ir.from_proto(original)
    join_hard_sigmoids(form)
    return ir.to_proto(form)


@pytest.mark.parametrize(
    ("nodes", "op_types"),
    [
        (HARD_SWISH, ["HardSigmoid", "Mul"]),
        ([*HARD_SIGMOID, helper.make_node("Div", ["clipped", "six"], ["y"])], ["HardSigmoid"]),
    ],
)
def test_steps_become_one_node_with_the_same_answers(nodes, op_types):
    feeds = {"x": np.linspace(-5, 5, 21, dtype=np.float32)}

    result = joined(model(nodes))

    assert [node.op_type for node in result.graph.node] == op_types
    assert answers(result, feeds)[0] == pytest.approx(answers(model(nodes), feeds)[0], abs=1e-6)


@pytest.mark.parametrize(
    "original",
    [
        model(HARD_SWISH, outputs=("y", "clipped")),
        model([*HARD_SWISH[:2], helper.make_node("Mul", ["shifted", "clipped"], ["product"]),
               HARD_SWISH[3]]),
        model([*HARD_SWISH[:3], helper.make_node("Div", ["product", "three"], ["y"])]),
    ],
)  # fmt: skip
def test_anything_else_is_left_alone(original):
    assert [node.op_type for node in joined(original).graph.node] == ["Add", "Clip", "Mul", "Div"]
