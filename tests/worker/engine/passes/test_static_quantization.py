import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from pydantic import ValidationError

from tests.engine_runs import (
    answers,
    first_answers,
    optimized_op_types,
    pass_context,
    sqnr_db,
)
from tests.onnx_models import branching, float_value, linear, model_of, recurrent, small_convnet
from worker.engine.errors import CalibrationError, PassError
from worker.engine.passes.static_quantization import StaticQuantization


def uniform(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def images(count=16):
    return [{"image": uniform(1, 3, 8, 8, seed=seed)} for seed in range(count)]


def compress(model, tmp_path, feeds, **options):
    """Integers wherever they are possible, on any processor."""
    fixed = {"fallback": "off", "reduce_range": True, **options}
    return StaticQuantization(**fixed).apply(model, pass_context(tmp_path, feeds))


def initializer(model, name):
    return numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == name))


def test_convnet_runs_in_integers_from_end_to_end(tmp_path):
    result = compress(small_convnet(), tmp_path, images())

    ran = optimized_op_types(result.model, tmp_path)
    assert "QLinearConv" in ran
    assert "QGemm" in ran
    assert not {"Conv", "Gemm", "Relu"} & set(ran)
    assert ran.count("QuantizeLinear") == 1


def test_every_node_is_changed_or_skipped_with_a_reason(tmp_path):
    result = compress(small_convnet(), tmp_path, images(), nodes_to_exclude=["gemm"])

    assert result.changed_nodes == ["conv", "relu", "gemm"]
    assert {skip.node: skip.reason for skip in result.skipped} == {
        "gemm": "nodes_to_exclude names it",
        "flatten": "it neither follows nor feeds integer nodes",
    }


@pytest.mark.parametrize(
    ("options", "least_db"),
    [
        ({}, 30),
        ({"reduce_range": False, "weight_type": "uint8"}, 30),
        ({"per_channel": False}, 25),
        ({"per_channel": False, "weight_symmetric": False, "weight_type": "uint8"}, 25),
        ({"activation_type": "int8"}, 25),
        ({"activation_type": "int8", "activation_symmetric": True}, 25),
        ({"activation_type": "uint16"}, 35),
        ({"activation_type": "int16", "activation_symmetric": True}, 35),
        ({"calibration_method": "percentile"}, 25),
        ({"calibration_method": "mse"}, 25),
        ({"calibration_method": "entropy"}, 20),
        ({"quant_format": "qoperator"}, 30),
        ({"quant_format": "qoperator", "per_channel": False, "activation_type": "int8"}, 25),
    ],
)
def test_answers_stay_close_with_each_option(tmp_path, options, least_db):
    model, feeds = small_convnet(), images()

    result = compress(model, tmp_path, feeds, **options)

    onnx.checker.check_model(result.model)
    assert sqnr_db(first_answers(model, feeds), first_answers(result.model, feeds)) > least_db


def test_sixteen_bits_use_the_standard_operators_from_opset_21(tmp_path):
    model = small_convnet()
    model.opset_import[0].version = 21

    result = compress(model, tmp_path, images(), activation_type="int16")

    assert [opset.domain for opset in result.model.opset_import] == [""]


def test_weight_integers_follow_from_the_definition(tmp_path):
    model = linear([[1.28, -0.64], [0.32, 0.02]])

    result = compress(model, tmp_path, [{"x": uniform(4, 2)}])

    assert initializer(result.model, "weight_scale") == pytest.approx([0.02, 0.01])
    assert initializer(result.model, "weight_quantized").tolist() == [[64, -64], [16, 2]]


def test_products_give_floats_where_no_integer_node_reads_them(tmp_path):
    model = linear(uniform(64, 32))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim.add(
            dim_value=value.type.tensor_type.shape.dim[1].dim_value
        )
        value.type.tensor_type.shape.dim[1].dim_value = 3

    result = compress(model, tmp_path, [{"x": uniform(4, 3, 64)}])

    assert "MatMulIntegerToFloat" in optimized_op_types(result.model, tmp_path)


def test_graph_outputs_keep_their_names_and_types(tmp_path):
    model = small_convnet()
    model.graph.output.append(float_value("active", ["batch", 16, 6, 6]))

    result = compress(model, tmp_path, images())

    assert [value.name for value in result.model.graph.output] == ["scores", "active"]
    assert answers(result.model, images(1)[0])[1].dtype == np.float32


def test_a_bias_too_large_for_its_scale_widens_the_weight_scale(tmp_path):
    weight = np.zeros((2, 2), np.float32)
    weight[0, 0] = 1e-9
    model = model_of(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm")],
        [float_value("x", ["batch", 2])],
        [float_value("y", ["batch", 2])],
        {"w": weight, "b": np.array([1000.0, 5.0], np.float32)},
    )
    feeds = {"x": uniform(3, 2)}

    result = compress(model, tmp_path, [feeds])

    assert answers(result.model, feeds)[0] == pytest.approx(
        np.tile([1000.0, 5.0], (3, 1)), rel=1e-3
    )


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_gemm_biases_of_one_row_are_taken(tmp_path, beta):
    model = model_of(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm", beta=beta, transB=1)],
        [float_value("x", ["batch", 8])],
        [float_value("y", ["batch", 4])],
        {"w": uniform(4, 8), "b": uniform(1, 4)},
    )
    feeds = {"x": uniform(16, 8, seed=2)}

    result = compress(model, tmp_path, [feeds])

    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolutions_load_with_groups_and_bias(tmp_path, group):
    model = model_of(
        [helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", group=group)],
        [float_value("x", [1, 4, 5, 5])],
        [float_value("y", [1, 2 * group, 7, 7])],
        {"w": uniform(4, 2, 3, 3), "b": uniform(2 * group)},
    )
    feeds = {"x": uniform(1, 4, 5, 5, seed=2)}

    result = compress(model, tmp_path, [feeds])

    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


def test_a_weight_shared_by_two_nodes_is_stored_once(tmp_path):
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
            helper.make_node("MatMul", ["first", "w"], ["y"], name="second"),
        ],
        [float_value("x", ["batch", 16])],
        [float_value("y", ["batch", 16])],
        {"w": uniform(16, 16)},
    )
    feeds = {"x": uniform(8, 16, seed=2)}

    result = compress(model, tmp_path, [feeds])

    assert result.changed_nodes == ["first", "second"]
    assert sum(t.name.startswith("w_quantized") for t in result.model.graph.initializer) == 1
    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 25


def test_a_weight_shared_along_another_axis_stays_float(tmp_path):
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
            helper.make_node("Gemm", ["first", "w"], ["y"], name="second", transB=1),
        ],
        [float_value("x", ["batch", 16])],
        [float_value("y", ["batch", 16])],
        {"w": uniform(16, 16)},
    )

    with pytest.raises(PassError, match="also read by second, along another axis"):
        compress(model, tmp_path, [{"x": uniform(8, 16)}])


def test_a_clip_that_zero_lies_outside_of_is_kept(tmp_path):
    model = model_of(
        [
            helper.make_node("Conv", ["x", "w"], ["maps"], name="conv"),
            helper.make_node("Clip", ["maps", "low", "high"], ["y"], name="clip"),
        ],
        [float_value("x", [1, 2, 4, 4])],
        [float_value("y", [1, 2, 4, 4])],
        {
            "w": uniform(2, 2, 1, 1),
            "low": np.array(0.5, np.float32),
            "high": np.array(6, np.float32),
        },
    )

    result = compress(model, tmp_path, [{"x": uniform(1, 2, 4, 4)}])

    assert "Clip" in [node.op_type for node in result.model.graph.node]


def test_subgraphs_read_the_rounded_values(tmp_path):
    model = branching()
    feeds = [{"x": uniform(3, 8), "flag": np.array(flag)} for flag in (True, False)]

    result = compress(model, tmp_path, feeds)

    assert sqnr_db(first_answers(model, feeds), first_answers(result.model, feeds)) > 30


def test_lstm_computes_in_float_with_stored_weights(tmp_path):
    feeds = [{"x": uniform(12, 1, 8)}]

    result = compress(recurrent(), tmp_path, feeds)

    assert result.changed_nodes == ["matmul", "lstm"]
    assert np.isfinite(answers(result.model, feeds[0])[0]).all()


def test_computed_weights_and_biases_are_the_reason_for_skipping(tmp_path):
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "x"], ["square"], name="square"),
            helper.make_node("Gemm", ["square", "w", "x"], ["y"], name="gemm"),
        ],
        [float_value("x", [4, 4])],
        [float_value("y", [4, 4])],
        {"w": uniform(4, 4)},
    )

    with pytest.raises(PassError, match="its weight is computed by the graph") as caught:
        compress(model, tmp_path, [{"x": uniform(4, 4)}])

    assert caught.value.code == "nothing_to_compress"
    assert "its bias is computed by the graph" in str(caught.value)


def test_a_tensor_without_values_is_named(tmp_path):
    with pytest.raises(CalibrationError, match="tensor x has no values in any"):
        compress(linear(uniform(8, 4)), tmp_path, [{"x": np.zeros((0, 8), np.float32)}])


@pytest.mark.parametrize(
    "options",
    [
        {"per_channel": True, "weight_symmetric": False},
        {"activation_type": "int8", "weight_type": "uint8"},
        {"quant_format": "qoperator", "activation_type": "int16"},
        {"op_types_to_quantize": []},
        {"op_types_to_quantize": ["LSTM"]},
        {"percentile": 0},
        {"unknown": 1},
    ],
)
def test_options_that_do_not_fit_together_are_refused(options):
    with pytest.raises(ValidationError):
        StaticQuantization(**options)


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    compress(small_convnet(), tmp_path / "work", images(), quant_format="qoperator")

    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_a_product_of_rows_and_its_bias_run_as_one_integer_node(tmp_path):
    model, feeds = linear(uniform(64, 32), bias=uniform(32)), {"x": uniform(4, 64, seed=2)}

    result = compress(model, tmp_path, [feeds])

    assert result.changed_nodes == ["matmul", "add"]
    assert optimized_op_types(result.model, tmp_path) == ["QuantizeLinear", "QGemm"]
    assert sqnr_db(answers(model, feeds)[0], answers(result.model, feeds)[0]) > 30


def wide_product(fragile):
    """Two products of 256 by 256; the second multiplies one large value with tiny weights."""
    second = uniform(256, 256, seed=3) / 16
    if fragile:
        second[0] = 1e-4
    bias = np.zeros(256, np.float32)
    bias[0] = 1e4 if fragile else 0.0
    return model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["first"], name="first"),
            helper.make_node("Add", ["first", "b"], ["sum"], name="sum"),
            helper.make_node("MatMul", ["sum", "v"], ["y"], name="second"),
        ],
        [float_value("x", ["rows", "columns", 256])],
        [float_value("y", ["rows", "columns", 256])],
        {"w": uniform(256, 256) / 16, "v": second, "b": bias},
    )


def automatic(model, tmp_path, count=4, **options):
    feeds = [{"x": uniform(1, 512, 256, seed=seed)} for seed in range(count)]
    result = StaticQuantization(**options).apply(model, pass_context(tmp_path, feeds))
    return result, sqnr_db(first_answers(model, feeds), first_answers(result.model, feeds))


def test_a_fragile_node_stays_in_float_with_its_weight_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(StaticQuantization, "is_timed", lambda *_: False)
    model = wide_product(fragile=True)

    result, drift = automatic(model, tmp_path, calibration_method="minmax", smooth=False)

    reasons = {skip.node: skip.reason for skip in result.skipped}
    assert "first" in result.changed_nodes
    assert reasons["second"] == "rounding it would move the answers too far"
    assert drift > 20
    assert serialized_ratio(model, result.model) > 3.5


def serialized_ratio(before, after):
    return before.ByteSize() / after.ByteSize()


def test_sturdy_nodes_all_compute_in_integers(tmp_path, monkeypatch):
    monkeypatch.setattr(StaticQuantization, "is_timed", lambda *_: False)

    result, drift = automatic(wide_product(fragile=False), tmp_path)

    assert {"first", "second"} <= set(result.changed_nodes)
    assert drift > 20


def test_what_onnxruntime_does_not_fuse_stays_float(tmp_path):
    model = model_of(
        [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up")],
        [float_value("x", [1, 32, 5, 5])],
        [float_value("y", [1, 32, 7, 7])],
        {"w": uniform(32, 32, 3, 3)},
    )
    feeds = [{"x": uniform(1, 32, 5, 5, seed=seed)} for seed in range(2)]

    result = StaticQuantization().apply(model, pass_context(tmp_path, feeds))

    assert [skip.reason for skip in result.skipped] == [
        "onnxruntime would compute it in float between integers"
    ]
    assert optimized_op_types(result.model, tmp_path) == ["ConvTranspose"]
    assert serialized_ratio(model, result.model) > 3


def test_notes_say_what_was_measured(tmp_path):
    result, _ = automatic(wide_product(fragile=False), tmp_path)

    assert result.notes[0].startswith("all in integers, 2 of 2 nodes with weights are")
    assert result.notes[-1].startswith("weights stored, and computed with in float: ")


@pytest.mark.parametrize("model", [wide_product(fragile=True), wide_product(fragile=False)])
def test_the_resolved_pass_gives_the_same_bytes_without_measuring(tmp_path, monkeypatch, model):
    result, _ = automatic(model, tmp_path)
    resolved = type(result.resolved).model_validate_json(result.resolved.model_dump_json())
    monkeypatch.setattr("worker.engine.passes.static_quantization.keep_answers", None)
    monkeypatch.setattr("worker.engine.passes.static_quantization.latency_ratio", None)

    again, _ = automatic(model, tmp_path / "again", **resolved.model_dump())

    assert again.model.SerializeToString() == result.model.SerializeToString()
    assert again.resolved == resolved


def test_named_nodes_compute_in_float_with_their_weights_stored(tmp_path):
    model = wide_product(fragile=False)

    result, _ = automatic(model, tmp_path, fallback="off", nodes_in_float=["sec*"])

    assert {skip.node: skip.reason for skip in result.skipped}["second"] == (
        "nodes_in_float names it"
    )
    assert "second" in result.changed_nodes
    assert serialized_ratio(model, result.model) > 3.5


def test_named_weights_are_stored_in_16_bits(tmp_path):
    options = {"fallback": "off", "nodes_in_float": ["second"], "weights_in_half": ["v"]}

    result, _ = automatic(wide_product(fragile=False), tmp_path, **options)

    assert initializer(result.model, "v.half").dtype == np.float16


def test_names_the_option_whose_pattern_matches_nothing(tmp_path):
    with pytest.raises(PassError, match="weights_in_half: no weight is called or matches 'no'"):
        automatic(wide_product(fragile=False), tmp_path, weights_in_half=["no"])


def test_a_transposed_input_may_have_any_number_of_rows(tmp_path):
    random = np.random.default_rng(0)
    model = model_of(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="gemm", transA=1)],
        [float_value("x", [64, "rows"])],
        [float_value("y", ["rows", 16])],
        {"w": random.normal(size=(64, 16)).astype(np.float32)},
    )
    feeds = [{"x": random.normal(size=(64, n)).astype(np.float32)} for n in (1, 3, 2, 5, 4)]

    result = StaticQuantization().apply(model, pass_context(tmp_path, feeds))

    assert sqnr_db(first_answers(model, feeds), first_answers(result.model, feeds)) > 30
