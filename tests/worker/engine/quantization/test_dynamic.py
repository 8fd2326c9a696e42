import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.engine_runs import answers, sqnr_db
from tests.onnx_models import float_value, linear, model_of, recurrent
from worker.engine.quantization.dynamic import (
    WeightOptions,
    place_dynamic,
    sole_products,
    write_dynamic,
)
from worker.engine.quantization.graph_view import GraphView


def uniform(*shape):
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)


def tensors(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def two_products(**second):
    """Two MatMuls of one activation; `second` names what the second multiplies it with."""
    return model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
            helper.make_node("MatMul", ["x", second.get("weight", "v")], ["other"], name="other"),
            helper.make_node("Add", ["first", "other"], ["y"], name="add"),
        ],
        [float_value("x", ["rows", 8])],
        [float_value("y", ["rows", 8])],
        {"w": uniform(8, 8)} if second else {"w": uniform(8, 8), "v": uniform(8, 8)},
    )


def test_an_activation_of_two_products_is_rounded_once():
    model = write_dynamic(two_products(), ["first", "other"], WeightOptions())

    assert [n.op_type for n in model.graph.node].count("DynamicQuantizeLinear") == 1


def test_a_shared_weight_is_stored_once():
    model = write_dynamic(two_products(weight="w"), ["first", "other"], WeightOptions())

    assert sorted(tensors(model)) == ["w_quantized", "w_scale", "w_zero_point"]


def test_a_weight_that_a_float_node_shares_stays_float():
    model = write_dynamic(two_products(weight="w"), ["first"], WeightOptions())

    assert list(tensors(model)) == ["w"]


def test_scales_cover_the_largest_weight_of_each_channel():
    model = write_dynamic(linear([[1.0, 4.0], [-2.0, 3.0]]), ["matmul"], WeightOptions())

    assert tensors(model)["weight_scale"] == pytest.approx([2 / 127, 4 / 127])
    # Of 1 / (2 / 127) = 63.5 the even neighbour is taken; 3 / (4 / 127) = 95.25.
    assert tensors(model)["weight_quantized"].tolist() == [[64, 127], [-127, 95]]


def test_the_input_model_is_not_changed():
    model = linear(uniform(8, 8))
    before = model.SerializeToString()

    write_dynamic(model, ["matmul"], WeightOptions())

    assert model.SerializeToString() == before


@pytest.mark.parametrize("per_channel", [True, False])
def test_an_lstm_answers_nearly_the_same(per_channel):
    model, feeds = recurrent(), {"x": uniform(12, 1, 8)}
    options = WeightOptions(per_channel=per_channel, reduce_range=True)

    result = write_dynamic(model, ["lstm"], options)

    assert result.graph.node[0].op_type == "DynamicQuantizeLSTM"
    shape = (1, 64) if per_channel else (1,)
    assert tensors(result)["kernel_scale"].shape == shape
    assert sqnr_db(answers(model, feeds)[0], answers(result, feeds)[0]) > 25


def test_an_lstm_whose_batch_comes_first_is_declined():
    model = recurrent()
    model.graph.node[0].attribute.append(helper.make_attribute("layout", 1))

    _, lstms, declined = place_dynamic(GraphView(model.graph), {"lstm"})

    assert lstms == []
    assert declined[0].reason == "its batch comes first (layout 1)"


def test_products_of_one_activation_are_grouped():
    model = two_products()
    model.graph.node.insert(0, helper.make_node("Relu", ["raw"], ["x"], name="relu"))
    del model.graph.input[:]
    model.graph.input.append(float_value("raw", ["rows", 8]))

    found = sole_products(GraphView(model.graph), ["first", "other"])

    assert {name: [w.node.name for w in group] for name, group in found.items()} == {
        "x": ["first", "other"]
    }


def test_a_graph_input_and_a_shared_weight_are_left_out():
    shared = two_products(weight="w")
    shared.graph.node.insert(0, helper.make_node("Relu", ["raw"], ["x"], name="relu"))

    assert sole_products(GraphView(two_products().graph), ["first", "other"]) == {}
    assert sole_products(GraphView(shared.graph), ["first", "other"]) == {}
