import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.layers import layer_errors
from worker.engine.tidying import Tidied

WEIGHT = np.array([[1.0, 2.0], [2.0, 4.0]], np.float32)


def with_weight(nodes, **tensors):
    """The linear model, its weight made by these nodes from these tensors."""
    model = linear(WEIGHT)
    kept = [tensor for tensor in model.graph.initializer if tensor.name == "bias"]
    added = [numpy_helper.from_array(np.asarray(array), name) for name, array in tensors.items()]
    rest = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend([*kept, *added])
    model.graph.node.extend([*nodes, *rest])
    return model


def test_a_weight_that_did_not_change_is_left_out():
    assert layer_errors(linear(WEIGHT), linear(WEIGHT)) == []


def test_measures_a_pruned_weight():
    pruned = WEIGHT.copy()
    pruned[0, 0] = 0

    [error] = layer_errors(linear(WEIGHT), linear(pruned))

    # signal 1 + 4 + 4 + 16 = 25, noise 1
    assert (error.node, error.op_type, error.weight) == ("matmul", "MatMul", "weight")
    assert error.sqnr_db == pytest.approx(10 * np.log10(25))


def test_reads_a_weight_through_dequantize_linear():
    result = with_weight(
        [helper.make_node("DequantizeLinear", ["q", "s"], ["weight"], name="dq")],
        q=np.array([[1, 2], [2, 3]], np.int8),
        s=np.float32(1.0),
    )

    [error] = layer_errors(linear(WEIGHT), result)

    assert error.sqnr_db == pytest.approx(10 * np.log10(25))


def test_reads_a_weight_stored_as_integers_and_folded_at_load():
    result = with_weight(
        [
            helper.make_node("Cast", ["q"], ["f"], to=TensorProto.FLOAT, name="cast"),
            helper.make_node("Mul", ["f", "s"], ["weight"], name="mul"),
        ],
        q=np.array([[1, 2], [2, 3]], np.int8),
        s=np.float32(1.0),
    )

    [error] = layer_errors(linear(WEIGHT), result)

    assert error.sqnr_db == pytest.approx(10 * np.log10(25))


def test_reads_a_weight_of_an_integer_operator_by_its_name():
    result = model_of(
        [
            helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"], name="quantize"),
            helper.make_node(
                "MatMulInteger",
                ["xq", "weight_quantized", "xz", "weight_zero_point"],
                ["sum"],
                name="matmul_quant",
            ),
            helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT, name="cast"),
            helper.make_node("Mul", ["xs", "weight_scale"], ["scale"], name="scales"),
            helper.make_node("Mul", ["float", "scale"], ["y"], name="rescale"),
        ],
        inputs=[float_value("x", ["batch", 2])],
        outputs=[float_value("y", ["batch", 2])],
        weights={
            # scales along the second axis: [[1, 2], [2, 4]] but for one step of 1 in the corner
            "weight_quantized": np.array([[1, 1], [1, 2]], np.int8),
            "weight_scale": np.array([1, 2], np.float32),
            "weight_zero_point": np.array([0, 0], np.int8),
        },
    )

    [error] = layer_errors(linear(WEIGHT), result)

    assert error.sqnr_db == pytest.approx(10 * np.log10(25))


def test_the_worst_weight_comes_first():
    before, after = onnx.ModelProto(), onnx.ModelProto()
    before.CopyFrom(linear(WEIGHT, bias=[10.0, 0.0]))
    after.CopyFrom(linear(WEIGHT * 0.5, bias=[9.0, 0.0]))

    # weight: 25 / (25 / 4) = 6 dB; bias: 100 / 1 = 20 dB
    assert [error.weight for error in layer_errors(before, after)] == ["weight", "bias"]


def test_reads_weights_back_that_were_renamed():
    result = linear(WEIGHT)
    result.graph.initializer[0].CopyFrom(numpy_helper.from_array(2 * WEIGHT, "a"))
    result.graph.node[0].input[1] = "a"
    tidied = Tidied(names={"weight": "a", "bias": "bias"})

    [error] = layer_errors(linear(WEIGHT), result, tidied)

    # an error as large as the weight
    assert (error.weight, error.sqnr_db) == ("weight", 0.0)
