import numpy as np
import onnx
import pytest
from onnx import helper

from tests.onnx_models import (
    branching,
    doubling_functions,
    float_value,
    linear,
    model_of,
    paddle_like,
    recurrent,
    small_convnet,
)
from worker.engine.errors import UnsupportedModelError
from worker.engine.graphs import default_opset
from worker.engine.model_files import serialize
from worker.engine.preparation import prepare as preparation
from worker.engine.preparation.constants import replace_constant
from worker.engine.preparation.prepare import Rewrite, prepare
from worker.engine.runtime import open_session, run

IMAGE = {"x": np.array([[[[1, 2], [3, 4]]]], np.float32)}


def test_makes_a_plain_graph_of_what_an_exporter_left():
    model = paddle_like()
    before = serialize(model)

    prepared = prepare(model, feeds=IMAGE)

    assert serialize(model) == before
    assert [node.op_type for node in prepared.model.graph.node] == ["Conv"]
    assert len(prepared.model.graph.initializer) == 2
    answer = run(open_session(prepared.model), IMAGE)[0]
    assert np.array_equal(answer, [[2 * IMAGE["x"][0, 0], 6 * IMAGE["x"][0, 0] + 3]])
    assert prepared.notes == [
        "Constant nodes made initializers: 6",
        "Identity and inactive Dropout nodes removed: 1",
        "BatchNormalization, Mul and Add nodes folded into weights: 2",
        "unused nodes and initializers removed: 5",
    ]


@pytest.mark.parametrize(
    "model", [linear(np.eye(2)), small_convnet(), recurrent(), branching(), doubling_functions(4)]
)
def test_gives_valid_models_the_same_bytes_each_time(model):
    prepared = [prepare(model).model for _ in range(2)]

    onnx.checker.check_model(prepared[0], full_check=True)
    assert serialize(prepared[0]) == serialize(prepared[1])


def test_raises_the_opset_only_when_asked():
    assert default_opset(prepare(paddle_like(), feeds=IMAGE).model) == 17
    assert default_opset(prepare(paddle_like(), 13, IMAGE).model) == 17
    raised = prepare(paddle_like(), 21, IMAGE)
    assert default_opset(raised.model) == 21
    assert raised.notes[0] == "opset raised from 17 to 21"


def test_merges_duplicate_opset_imports():
    model = linear(np.eye(2))
    model.opset_import.append(helper.make_opsetid("ai.onnx", 17))

    prepared = prepare(model)

    assert [(o.domain, o.version) for o in prepared.model.opset_import] == [("", 17)]
    assert prepared.notes == ["duplicate opset imports merged: 1"]


def test_inlines_functions():
    prepared = prepare(doubling_functions(3), feeds={"x": np.ones(2, np.float32)})

    assert not prepared.model.functions
    assert prepared.notes[0] == "functions inlined: 3"


def test_frees_declared_shapes_that_the_run_contradicts():
    model = linear(np.eye(2))
    model.graph.output[0].CopyFrom(float_value("y", [3, 2]))

    prepared = prepare(model, feeds={"x": np.ones((1, 2), np.float32)})

    assert prepared.model.graph.output[0] == float_value("y", [None, 2])
    assert "declared shapes that a run contradicts freed: y" in prepared.notes


def double_the_kernel(model):
    replace_constant(model.graph.initializers["kernel"], np.full((2, 1, 1, 1), 9.0))
    return 1


def fail(model):
    raise ValueError(f"a bug in {model.ir_version}")


@pytest.mark.parametrize(
    ("rewrite", "reason"),
    [
        (double_the_kernel, "it would change the answers"),
        (fail, "preparing the model failed: a bug in 10"),
    ],
)
def test_a_guilty_rewrite_is_left_out_and_the_others_stay(monkeypatch, rewrite, reason):
    guilty = Rewrite("kernels doubled", rewrite)
    monkeypatch.setattr(preparation, "REWRITES", [*preparation.REWRITES, guilty])

    prepared = prepare(paddle_like(), feeds=IMAGE)

    assert [node.op_type for node in prepared.model.graph.node] == ["Conv"]
    assert prepared.notes[-1] == f"kernels doubled: left out, because {reason}"


def test_sparse_initializers_are_left_as_they_are():
    values = helper.make_tensor("w", 1, [1], [3.0])
    indices = helper.make_tensor("indices", 7, [1], [1])
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"])], [float_value("x", [2])], [float_value("y", [2])]
    )
    model.graph.node[0].CopyFrom(helper.make_node("Add", ["x", "w"], ["y"]))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2]))

    prepared = prepare(model, feeds={"x": np.ones(2, np.float32)})

    assert prepared.model == model
    assert prepared.notes == ["sparse initializers: no rewrite was tried"]


def test_an_opset_that_cannot_be_reached_is_said(monkeypatch):
    monkeypatch.setattr(preparation, "raise_opset", lambda model, _: linear(9 * np.eye(2)))

    with pytest.raises(UnsupportedModelError, match="would change its answers"):
        prepare(linear(np.eye(2)), 21, {"x": np.ones((1, 2), np.float32)})
