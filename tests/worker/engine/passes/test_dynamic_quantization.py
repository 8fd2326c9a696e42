import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.engine_runs import answers, optimized_op_types, pass_context, sqnr_db
from tests.onnx_models import branching, float_value, linear, model_of, recurrent, small_convnet
from worker.engine.errors import PassError
from worker.engine.passes.dynamic_quantization import DynamicQuantization


def compress(model, tmp_path, **options):
    return DynamicQuantization(**options).apply(model, pass_context(tmp_path))


def stored(model, name):
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def uniform(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def gemm(**attributes):
    shape = (4, 8) if attributes.get("transB") else (8, 4)
    return model_of(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm", **attributes)],
        [float_value("x", ["rows", "columns"])],
        [float_value("y", ["batch", 4])],
        {"w": uniform(*shape), "b": uniform(1, 4)},
    )


def test_products_become_one_fused_integer_node(tmp_path):
    model = linear(uniform(64, 32), bias=uniform(32))

    result = compress(model, tmp_path)

    assert result.changed_nodes == ["matmul"]
    assert "DynamicQuantizeMatMul" in optimized_op_types(result.model, tmp_path)


@pytest.mark.parametrize(("reduce_range", "largest_pair"), [(True, 128), (False, 254)])
def test_no_two_products_overflow_16_bits_unless_told_so(tmp_path, reduce_range, largest_pair):
    model = linear(np.full((64, 32), 0.5))

    result = compress(model, tmp_path, reduce_range=reduce_range)

    integers = stored(result.model, "weight_quantized").astype(int)
    assert (integers[0::2] + integers[1::2]).max() == largest_pair


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("weight_type", ["int8", "uint8"])
@pytest.mark.parametrize("model", [linear(uniform(64, 32)), recurrent(), small_convnet()])
def test_answers_stay_close(tmp_path, model, per_channel, weight_type):
    shape = [
        1 if size.dim_param == "batch" else size.dim_value or 12
        for size in model.graph.input[0].type.tensor_type.shape.dim
    ]
    feeds = {model.graph.input[0].name: uniform(*shape)}

    result = compress(model, tmp_path, per_channel=per_channel, weight_type=weight_type)

    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 25


@pytest.mark.parametrize(
    "attributes", [{}, {"transB": 1}, {"beta": 0.5}, {"transB": 1, "beta": 0.0}]
)
def test_gemm_attributes_are_kept(tmp_path, attributes):
    model, feeds = gemm(**attributes), {"x": uniform(5, 8)}

    result = compress(model, tmp_path)

    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


def test_gemm_that_transposes_its_input_is_skipped_with_the_reason(tmp_path):
    with pytest.raises(PassError, match="its first input is transposed"):
        compress(gemm(transA=1), tmp_path)


def test_conv_is_left_alone_unless_asked_for(tmp_path):
    model, feeds = small_convnet(), {"image": uniform(1, 3, 8, 8)}

    default = compress(model, tmp_path)
    asked = compress(model, tmp_path, op_types_to_quantize=["Conv"])

    assert "ConvInteger" not in {node.op_type for node in default.model.graph.node}
    assert "ConvInteger" in {node.op_type for node in asked.model.graph.node}
    assert sqnr_db(answers(model, feeds)[0], answers(asked.model, feeds)[0]) > 25


def test_lstm_weights_are_stored_as_integers(tmp_path):
    result = compress(recurrent(), tmp_path, op_types_to_quantize=["LSTM"])

    kernel = next(t for t in result.model.graph.initializer if t.name == "kernel_quantized")
    assert kernel.dims == [1, 8, 64]
    assert kernel.data_type == onnx.TensorProto.INT8
    assert not any(tensor.name == "kernel" for tensor in result.model.graph.initializer)


def test_subgraphs_are_left_alone_and_still_run(tmp_path):
    model = branching()
    feeds = {"x": uniform(3, 8), "flag": np.array(True)}

    result = compress(model, tmp_path)

    assert result.changed_nodes == ["outer_matmul"]
    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


def test_weights_of_other_nodes_are_stored_in_8_bits(tmp_path):
    model = model_of(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="look_up"),
            helper.make_node("MatMul", ["rows", "w"], ["y"], name="matmul"),
        ],
        [helper.make_tensor_value_info("ids", onnx.TensorProto.INT64, [3])],
        [float_value("y", [3, 32])],
        {"table": uniform(200, 16), "w": uniform(16, 32)},
    )
    feeds = {"ids": np.array([3, 5, 199])}

    result = compress(model, tmp_path)

    assert result.changed_nodes == ["matmul", "look_up"]
    assert result.model.ByteSize() < model.ByteSize() / 2
    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


def test_nodes_that_are_no_faster_stay_in_float_with_the_reason(tmp_path):
    model = linear(uniform(64, 32))

    result = DynamicQuantization().apply(model, pass_context(tmp_path, [{"x": uniform(1, 64)}]))

    assert "MatMulInteger" not in {node.op_type for node in result.model.graph.node}
    assert {skip.node: skip.reason for skip in result.skipped}["matmul"] == (
        "it would be no faster in integers on this processor"
    )


def test_fallback_off_keeps_no_node_in_float(tmp_path):
    model = linear(uniform(64, 32))
    context = pass_context(tmp_path, [{"x": uniform(1, 64)}])

    result = DynamicQuantization(fallback="off").apply(model, context)

    assert "MatMulInteger" in {node.op_type for node in result.model.graph.node}


def spiked_inputs(rows=16):
    """Inputs whose first channel is a hundred times larger than the others."""
    inputs = uniform(rows, 64)
    inputs[:, 0] *= 100
    return {"x": inputs}


def behind_relu():
    """y = max(x, 0) @ w."""
    return model_of(
        [
            helper.make_node("Relu", ["x"], ["active"], name="relu"),
            helper.make_node("MatMul", ["active", "w"], ["y"], name="matmul"),
        ],
        [float_value("x", ["rows", 64])],
        [float_value("y", ["rows", 32])],
        {"w": np.vstack([uniform(1, 32) / 100, uniform(63, 32)])},
    )


def test_large_channels_move_into_the_weights(tmp_path):
    model, feeds = behind_relu(), spiked_inputs()
    context = pass_context(tmp_path, [feeds])

    plain, smoothed = (
        DynamicQuantization(fallback="off", smooth=smooth).apply(model, context)
        for smooth in (False, True)
    )

    drifts = [
        sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0])
        for result in (plain, smoothed)
    ]
    assert drifts[1] > drifts[0] + 10
    assert "inputs of matrix products made smoother: 1" in smoothed.notes


def test_a_node_that_spoils_the_answers_stays_in_float(tmp_path):
    context = pass_context(tmp_path, [spiked_inputs(rows=512)])
    options = {"smooth": False, "fallback_sqnr_db": 60}

    result = DynamicQuantization(**options).apply(behind_relu(), context)

    assert "MatMulInteger" not in {node.op_type for node in result.model.graph.node}
    assert "matmul" in {skip.node for skip in result.skipped}


def test_a_weight_that_others_read_stays_float(tmp_path):
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="matmul"),
            helper.make_node("Add", ["product", "w"], ["y"], name="add"),
        ],
        [float_value("x", [4, 4])],
        [float_value("y", [4, 4])],
        {"w": uniform(4, 4)},
    )

    with pytest.raises(PassError, match="its weight w is also read by add") as caught:
        compress(model, tmp_path)

    assert caught.value.code == "nothing_to_compress"


def test_a_quantized_model_is_refused(tmp_path):
    once = compress(linear(uniform(64, 32)), tmp_path).model

    with pytest.raises(PassError, match="DynamicQuantizeLinear") as caught:
        compress(once, tmp_path)

    assert caught.value.code == "already_quantized"


def two_products():
    """The first multiplies a large value with weights of 0, which rounding its input spoils."""
    ignoring = uniform(64, 64)
    ignoring[0] = 0
    return model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="fragile"),
            helper.make_node("Relu", ["first"], ["middle"], name="relu"),
            helper.make_node("MatMul", ["middle", "v"], ["y"], name="sound"),
        ],
        [float_value("x", ["rows", 64])],
        [float_value("y", ["rows", 64])],
        {"w": ignoring, "v": uniform(64, 64)},
    )


def test_the_resolved_pass_gives_the_same_bytes_without_measuring(tmp_path, monkeypatch):
    module = "worker.engine.passes.dynamic_quantization"
    for name in ("keep_faster", "keep_fast"):
        monkeypatch.setattr(f"{module}.{name}", lambda *_: True)
    feeds = [{"x": uniform(8, 64) + seed * 0.1} for seed in range(5)]
    for each in feeds:
        each["x"][:, 0] = 1000
    result = DynamicQuantization().apply(two_products(), pass_context(tmp_path / "first", feeds))
    monkeypatch.setattr(f"{module}.keep_answers", None)
    resolved = DynamicQuantization.model_validate_json(result.resolved.model_dump_json())

    again = resolved.apply(two_products(), pass_context(tmp_path / "second", feeds))

    assert resolved.nodes_in_float == ("fragile",)
    assert again.model.SerializeToString() == result.model.SerializeToString()
    assert again.resolved == resolved
