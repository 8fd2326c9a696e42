import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.engine_runs import pass_context
from tests.onnx_models import float_value, linear, model_of
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.weights.finding import STORABLE_TYPES, find_weights


def loop_model(size=4):
    """A Loop whose body multiplies with `inner`, and with `outer` of the graph around it."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "inner"], ["half"], name="in_body"),
            helper.make_node("MatMul", ["half", "outer"], ["next"], name="with_outer"),
            helper.make_node("Identity", ["going"], ["still_going"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            float_value("state", ["rows", size]),
        ],
        [
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            float_value("next", ["rows", size]),
        ],
        [numpy_helper.from_array(np.eye(size, dtype=np.float32), "inner")],
    )
    return model_of(
        [helper.make_node("Loop", ["turns", "", "x"], ["y"], name="loop", body=body)],
        inputs=[float_value("x", ["rows", size])],
        outputs=[float_value("y", ["rows", size])],
        weights={"outer": np.eye(size, dtype=np.float32), "turns": np.array(3, np.int64)},
    )


def test_finds_the_weights_of_the_graph_and_of_its_subgraphs():
    weights = {weight.name: weight for weight in find_weights(loop_model())}

    assert set(weights) == {"outer", "inner"}
    assert [use.node.name for use in weights["inner"].uses] == ["in_body"]
    assert [use.node.name for use in weights["outer"].uses] == ["with_outer"]


def test_a_use_in_a_body_is_no_use_in_the_graph_itself():
    model, plain = loop_model(), linear(np.ones((4, 3)))

    assert [weight.only_use(model) for weight in find_weights(model)] == [None, None]
    assert find_weights(plain)[0].only_use(plain).node.name == "matmul"


def test_leaves_out_small_and_integer_weights():
    names = [weight.name for weight in find_weights(linear(np.ones((4, 3))), minimum_values=12)]

    assert names == ["weight"]


def test_leaves_out_weights_that_a_caller_may_override():
    model = linear(np.ones((4, 3)))
    model.graph.input.append(float_value("weight", [4, 3]))

    assert [weight.name for weight in find_weights(model)] == ["bias"]


def halves(element_type):
    """A MatMul of a float16 or bfloat16 weight, computed with in float32."""
    weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    model = model_of(
        [
            helper.make_node("Cast", ["half"], ["weight"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["x", "weight"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["rows", 64])],
        outputs=[float_value("y", ["rows", 32])],
        weights={"half": weight},
        opset=21,
    )
    half = helper.make_tensor("half", element_type, [64, 32], weight.reshape(-1))
    model.graph.initializer[0].CopyFrom(half)
    return model


def test_finds_halves_where_they_are_asked_for():
    model = halves(TensorProto.BFLOAT16)

    assert find_weights(model) == []
    assert [weight.name for weight in find_weights(model, types=STORABLE_TYPES)] == ["half"]


@pytest.mark.parametrize("bits", [8, 4])
def test_what_a_weight_is_stored_as_holds_no_weights(tmp_path, bits):
    model = linear(np.ones((64, 4096)))
    model.opset_import[0].version = 21

    stored = WeightQuantization(bits=bits).apply(model, pass_context(tmp_path)).model

    assert {weight.name for weight in find_weights(stored, types=STORABLE_TYPES)} <= {"bias"}


def test_scales_of_quantized_operators_are_no_weights():
    model = model_of(
        [
            helper.make_node("DequantizeLinear", ["integers", "scale"], ["w"], axis=1),
            helper.make_node("MatMul", ["x", "w"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["rows", 2])],
        outputs=[float_value("y", ["rows", 600])],
        weights={"integers": np.ones((2, 600), np.int8), "scale": np.ones(600, np.float32)},
    )

    assert find_weights(model) == []
