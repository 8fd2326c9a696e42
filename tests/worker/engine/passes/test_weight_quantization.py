from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value, linear, model_of, small_convnet
from tests.worker.engine.weights.test_finding import halves, loop_model
from worker.engine.errors import PassError
from worker.engine.passes import packing
from worker.engine.passes.base import PassContext
from worker.engine.passes.weight_overrides import WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.runtime import open_session, run
from worker.engine.samples import Sample


@dataclass
class GivenSamples:
    samples: list[Sample] = field(default_factory=list)
    origin: str = "dataset"

    def __len__(self):
        return len(self.samples)

    def __iter__(self):
        return iter(self.samples)


def apply(options, model, tmp_path, samples=()):
    progress = []
    context = PassContext(
        workdir=tmp_path,
        samples=GivenSamples(list(samples)),
        report_progress=lambda stage, fraction: progress.append((stage, fraction)),
    )
    return options.apply(model, context)


def answers(model, feeds):
    return run(open_session(model), feeds)[0]


def sqnr_db(reference, output):
    return 10 * np.log10(np.square(reference).sum() / np.square(reference - output).sum())


def test_eight_bits_keep_the_answers_and_quarter_the_weights(tmp_path):
    model = small_convnet()
    image = {"image": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}

    result = apply(WeightQuantization(minimum_values=100), model, tmp_path)

    assert sqnr_db(answers(model, image), answers(result.model, image)) > 35
    assert result.changed_nodes == ["conv", "gemm"]
    stored = {t.name: len(t.raw_data) for t in result.model.graph.initializer}
    assert stored["kernel.quantized"] == 16 * 27
    assert not result.notes


def test_onnxruntime_folds_weights_inside_a_loop_too(tmp_path):
    result = apply(WeightQuantization(minimum_values=16), loop_model(), tmp_path)

    assert result.notes == []
    assert np.allclose(answers(result.model, {"x": np.ones((1, 4), np.float32)}), 1, atol=1e-3)


def test_weights_of_the_graph_that_a_loop_multiplies_with_take_four_bits_with_data_too(tmp_path):
    model = loop_model(32)
    model.opset_import[0].version = 21
    rows = np.ones((1, 32), np.float32)

    result = apply(WeightQuantization(bits=4), model, tmp_path, [Sample({"x": rows})])

    assert result.changed_nodes == ["with_outer", "in_body"]
    assert np.allclose(answers(result.model, {"x": rows}), 1, atol=0.1)


def test_calibration_data_improves_four_bit_answers(tmp_path):
    random = np.random.default_rng(5)
    mixing = random.normal(size=(6, 64))
    inputs = (random.normal(size=(200, 6)) @ mixing).astype(np.float32)
    model = linear(random.normal(size=(64, 32)))
    model.opset_import[0].version = 21
    reference = answers(model, {"x": inputs})
    options = WeightQuantization(bits=4, average_bits=4.5)
    plain = apply(options.model_copy(update={"error_compensation": False}), model, tmp_path)

    compensated = apply(options, model, tmp_path, [Sample({"x": inputs[:100]})])

    gain = sqnr_db(reference, answers(compensated.model, {"x": inputs})) - sqnr_db(
        reference, answers(plain.model, {"x": inputs})
    )
    assert gain > 3


def test_a_budget_keeps_the_weight_that_suffers_most_at_eight_bits(tmp_path):
    random = np.random.default_rng(2)
    outliers = random.normal(size=(64, 64)) * np.where(random.random((64, 64)) < 0.03, 30, 1)
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "smooth"], ["middle"], name="first"),
            helper.make_node("MatMul", ["middle", "spiky"], ["y"], name="second"),
        ],
        inputs=[float_value("x", ["batch", 64])],
        outputs=[float_value("y", ["batch", 64])],
        weights={
            "smooth": random.uniform(-1, 1, (64, 64)).astype(np.float32),
            "spiky": outliers.astype(np.float32),
        },
        opset=21,
    )

    result = apply(WeightQuantization(bits=4, average_bits=6.5), model, tmp_path)

    types = {t.name: t.data_type for t in result.model.graph.initializer}
    assert types["smooth.quantized"] == onnx.TensorProto.INT4
    assert types["spiky.quantized"] == onnx.TensorProto.INT8
    assert result.notes == ["kept at 8 bits, as they gain most: spiky"]


def test_a_weight_that_no_block_divides_is_kept_at_eight_bits_and_named(tmp_path):
    model = linear(np.ones((521, 8)))
    model.opset_import[0].version = 21

    result = apply(WeightQuantization(bits=4), model, tmp_path)

    assert result.notes == [
        "kept at 8 bits, as blocks of fewer do not fit them or save nothing: weight"
    ]


def test_the_opset_follows_the_bits():
    assert [WeightQuantization(bits=bits).required_opset() for bits in (8, 4, 2)] == [13, 21, 25]


def test_a_model_without_weights_has_nothing_to_compress(tmp_path):
    with pytest.raises(PassError, match="512 values") as raised:
        apply(WeightQuantization(), linear(np.ones((4, 3))), tmp_path)

    assert raised.value.code == "nothing_to_compress"


def test_a_result_is_said_to_be_stored_as_integers_already(tmp_path):
    stored = apply(WeightQuantization(), linear(np.ones((64, 64))), tmp_path).model

    with pytest.raises(PassError, match="as integers already, 1 of them, such as weight") as raised:
        apply(WeightQuantization(), stored, tmp_path)

    assert raised.value.code == "already_quantized"


def test_the_input_model_is_left_as_it_was(tmp_path):
    model = small_convnet()
    before = model.SerializeToString()

    apply(WeightQuantization(minimum_values=100), model, tmp_path)

    assert model.SerializeToString() == before


@pytest.mark.parametrize("bits", [8, 4])
def test_native_weights_are_multiplied_with_in_their_packed_form(tmp_path, bits):
    random = np.random.default_rng(4)
    model = linear(random.normal(size=(64, 32)))
    model.opset_import[0].version = 21
    rows = random.normal(size=(2, 64)).astype(np.float32)

    result = apply(WeightQuantization(bits=bits, runtime_form="native"), model, tmp_path)

    assert result.notes == ["multiplied with in their packed form: weight"]
    open_session(result.model, optimized_path=tmp_path / "optimized.onnx")
    op_types = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert "MatMulNBits" in op_types
    assert "DequantizeLinear" not in op_types
    reference = answers(model, {"x": rows})
    assert sqnr_db(reference, answers(result.model, {"x": rows})) > {8: 35, 4: 15}[bits]


def test_a_native_weight_needs_opset_21():
    assert WeightQuantization(runtime_form="native").required_opset() == 21


def test_without_data_no_weight_is_kept_packed(tmp_path):
    model = linear(np.random.default_rng(4).normal(size=(64, 32)))
    model.opset_import[0].version = 21

    assert apply(WeightQuantization(), model, tmp_path).notes == []


def two_products(seed=2, opset=21):
    """Two MatMuls of 64 x 64; the second weight has outliers, which few bits suit badly."""
    random = np.random.default_rng(seed)
    spikes = random.normal(size=(64, 64)) * np.where(random.random((64, 64)) < 0.03, 30, 1)
    return model_of(
        [
            helper.make_node("MatMul", ["x", "smooth[0]"], ["middle"], name="first"),
            helper.make_node("MatMul", ["middle", "spiky"], ["y"], name="second"),
        ],
        inputs=[float_value("x", ["batch", 64])],
        outputs=[float_value("y", ["batch", 64])],
        weights={
            "smooth[0]": random.uniform(-1, 1, (64, 64)).astype(np.float32),
            "spiky": spikes.astype(np.float32),
        },
        opset=opset,
    )


def types_of(model):
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_overrides_come_before_the_budget(tmp_path):
    options = WeightQuantization(
        bits=4,
        average_bits=4.5,
        overrides=[{"nodes": ["first"], "bits": 8}, {"weights": ["spiky"], "bits": 2}],
    )
    model = two_products(opset=25)
    model.ir_version = 13

    types = types_of(apply(options, model, tmp_path).model)

    assert types["smooth[0].quantized"] == onnx.TensorProto.INT8
    assert types["spiky.quantized"] == onnx.TensorProto.INT2


def test_a_weight_may_stay_in_float(tmp_path):
    options = WeightQuantization(bits=4, overrides=[{"nodes": ["second"], "bits": "float"}])

    result = apply(options, two_products(), tmp_path)

    assert types_of(result.model)["spiky"] == onnx.TensorProto.FLOAT
    assert result.changed_nodes == ["first"]
    assert [(skip.node, skip.reason) for skip in result.skipped] == [
        ("second", "overrides leave its weight spiky in float")
    ]


def test_a_weight_may_be_stored_as_halves(tmp_path):
    options = WeightQuantization(overrides=[{"nodes": ["*"], "bits": 16}])
    model, rows = two_products(opset=17), {"x": np.eye(64, dtype=np.float32)}

    result = apply(options, model, tmp_path)

    stored = {t.name: len(t.raw_data) for t in result.model.graph.initializer}
    assert stored == {"smooth[0].half": 2 * 64 * 64, "spiky.half": 2 * 64 * 64}
    assert result.notes == []
    # A half has 11 significant bits: its error is at most 2^-11 of a value, -66 dB.
    assert sqnr_db(answers(model, rows), answers(result.model, rows)) > 63


def test_small_weights_become_halves_but_beside_one_that_stays_in_float(tmp_path):
    model, image = small_convnet(), {"image": np.ones((1, 3, 8, 8), np.float32)}
    options = WeightQuantization(minimum_values=500)
    kept = options.model_copy(update={"overrides": (WeightOverride(nodes=["conv"], bits="float"),)})

    result = apply(options, model, tmp_path)

    types = types_of(result.model)
    assert types["kernel.half"] == TensorProto.FLOAT16
    assert types["dense.quantized"] == TensorProto.INT8
    assert sqnr_db(answers(model, image), answers(result.model, image)) > 35
    assert result.notes == []
    assert types_of(apply(kept, model, tmp_path).model)["kernel"] == TensorProto.FLOAT


def test_halves_that_would_overflow_are_refused(tmp_path):
    options = WeightQuantization(overrides=[{"nodes": ["*"], "bits": 16}])

    with pytest.raises(PassError, match="the weight weight holds numbers beyond 65504"):
        apply(options, linear(np.full((32, 32), 70_000)), tmp_path)


def test_a_model_that_is_left_in_float_altogether_has_nothing_to_compress(tmp_path):
    options = WeightQuantization(overrides=[{"nodes": ["*"], "bits": "float"}])

    with pytest.raises(PassError, match="every weight in float") as raised:
        apply(options, two_products(), tmp_path)

    assert raised.value.code == "nothing_to_compress"


@pytest.mark.parametrize("beside", [0, 1e6])
def test_a_mask_of_infinities_keeps_them_and_is_named(tmp_path, beside):
    mask = np.where(np.eye(32, dtype=bool), np.float32(beside), np.float32(-np.inf))
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"], name="product"),
            helper.make_node("Add", ["scores", "mask"], ["masked"], name="masking"),
            helper.make_node("Softmax", ["masked"], ["y"], name="softmax"),
        ],
        inputs=[float_value("x", [32, 32])],
        outputs=[float_value("y", [32, 32])],
        weights={"w": np.ones((32, 32), np.float32), "mask": mask},
    )

    result = apply(WeightQuantization(), model, tmp_path)

    assert np.array_equal(answers(result.model, {"x": np.ones((32, 32), np.float32)}), np.eye(32))
    told = [*result.notes, *(f"{skip.node}: {skip.reason}" for skip in result.skipped)]
    assert told == [
        "masking: its weight mask holds infinities or NaN, and numbers that float16 cannot hold"
        if beside
        else "stored at 16 bits, as they hold infinities or NaN: mask"
    ]


@pytest.mark.parametrize("element_type", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
@pytest.mark.parametrize(("bits", "least_db"), [(8, 35), (4, 18)])
def test_halves_are_stored_in_fewer_bits_and_folded(tmp_path, element_type, bits, least_db):
    model = halves(element_type)
    rows = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)

    result = apply(WeightQuantization(bits=bits), model, tmp_path)

    assert result.notes == []
    reference = answers(model, {"x": rows})
    assert sqnr_db(reference, answers(result.model, {"x": rows})) > least_db
    assert result.model.ByteSize() < model.ByteSize() * (bits + 2) / 16


def test_halves_with_infinities_stay_and_are_named(tmp_path):
    model = halves(TensorProto.FLOAT16)
    mask = np.full((32, 32), -np.inf, np.float16)
    model.graph.initializer.append(numpy_helper.from_array(mask, "mask"))
    model.graph.node.append(helper.make_node("Neg", ["mask"], ["negative"], name="negate"))

    result = apply(WeightQuantization(), model, tmp_path)

    assert [(skip.node, skip.reason) for skip in result.skipped] == [
        ("negate", "its weight mask holds infinities or NaN, and takes 16 bits already")
    ]


def test_the_opset_follows_the_overrides():
    four = WeightQuantization(overrides=[WeightOverride(nodes=["a"], bits=4)])
    native = WeightQuantization(overrides=[WeightOverride(nodes=["a"], runtime_form="native")])
    floats = WeightQuantization(overrides=[WeightOverride(nodes=["a"], bits="float")])

    assert [each.required_opset() for each in (four, native, floats)] == [21, 21, 13]


@pytest.mark.parametrize(
    "options",
    [
        WeightQuantization(bits=4, average_bits=6.5),
        WeightQuantization(bits=4, average_bits=6.5, runtime_form="native"),
        WeightQuantization(bits=4, average_bits=2, min_sqnr_db=20),
        WeightQuantization(overrides=[WeightOverride(nodes=["first"], runtime_form="native")]),
        WeightQuantization(bits=4, overrides=[WeightOverride(nodes=["first"], bits="float")]),
    ],
)
def test_the_resolved_pass_gives_the_same_bytes_without_timing(tmp_path, monkeypatch, options):
    rows = np.random.default_rng(8).normal(size=(50, 64)).astype(np.float32)
    samples = [Sample({"x": rows[:20]}), Sample({"x": rows[20:]})]

    result = apply(options, two_products(), tmp_path, samples)

    monkeypatch.delattr(packing, "faster_packed")
    stored = WeightQuantization.model_validate_json(result.resolved.model_dump_json())
    again = apply(stored, two_products(), tmp_path, samples)
    assert again.model.SerializeToString() == result.model.SerializeToString()


def test_weights_are_kept_at_eight_bits_until_the_answers_are_good_enough(tmp_path):
    rows = np.random.default_rng(8).normal(size=(50, 64)).astype(np.float32)
    samples = [Sample({"x": rows[start : start + 10]}) for start in range(0, 50, 10)]
    model, options = two_products(), WeightQuantization(bits=4, average_bits=2, min_sqnr_db=0)

    few = apply(options, model, tmp_path, samples)
    more = apply(options.model_copy(update={"min_sqnr_db": 20}), model, tmp_path, samples)
    most = apply(options.model_copy(update={"min_sqnr_db": 100}), model, tmp_path, samples)

    held_back = {"x": rows[40:]}
    figures = [
        sqnr_db(answers(model, held_back), answers(each.model, held_back))
        for each in (few, more, most)
    ]
    assert figures[0] < 20 <= figures[1] < figures[2] < 100
    counts = [list(types_of(r.model).values()).count(TensorProto.INT8) for r in (few, more, most)]
    assert counts == [0, 1, 2]
    assert more.notes[-1].endswith("dB at average_bits; weights kept at 8 bits beyond that: 1")


def test_the_answers_are_not_asked_for_on_made_up_inputs(tmp_path):
    context = PassContext(
        workdir=tmp_path,
        samples=GivenSamples([Sample({"x": np.ones((1, 64), np.float32)})], origin="synthetic"),
        report_progress=lambda stage, fraction: None,
    )
    options = WeightQuantization(bits=4, average_bits=2, min_sqnr_db=100)

    types = types_of(options.apply(two_products(), context).model)

    assert TensorProto.INT8 not in types.values()


def test_the_resolved_pass_names_what_was_upgraded_and_packed(tmp_path):
    options = WeightQuantization(bits=4, average_bits=6.5, runtime_form="native")

    resolved = apply(options, two_products(), tmp_path).resolved

    assert resolved.runtime_form == "folded"
    assert resolved.overrides == (
        WeightOverride(weights=["*"], bits=4),
        WeightOverride(weights=["spiky"], bits=8),
        WeightOverride(weights=["smooth[[]0]", "spiky"], runtime_form="native"),
    )


def shifted_gemm():
    """A Gemm of 64 inputs that are far from zero, and such inputs."""
    random = np.random.default_rng(3)
    model = model_of(
        [helper.make_node("Gemm", ["x", "weight"], ["y"], name="gemm")],
        inputs=[float_value("x", ["batch", 64])],
        outputs=[float_value("y", ["batch", 32])],
        weights={"weight": random.normal(size=(64, 32)).astype(np.float32)},
    )
    model.opset_import[0].version = 21
    return model, random.normal(4, 1, (80, 64)).astype(np.float32)


@pytest.mark.parametrize(("bits", "gain_db"), [(8, 6), (4, 1)])
def test_a_bias_takes_the_mean_error_of_a_rounded_weight(tmp_path, bits, gain_db):
    model, inputs = shifted_gemm()
    reference = answers(model, {"x": inputs})
    samples = [Sample({"x": row[None]}) for row in inputs]
    options = WeightQuantization(bits=bits, average_bits=bits + 0.5, min_sqnr_db=0)

    corrected = apply(options, model, tmp_path, samples)

    plain = apply(options.model_copy(update={"correct_biases": False}), model, tmp_path, samples)
    found = [sqnr_db(reference, answers(each.model, {"x": inputs})) for each in (corrected, plain)]
    assert found[0] > found[1] + gain_db
    assert (corrected.resolved.correct_biases, plain.resolved.correct_biases) == (True, False)
    again = apply(corrected.resolved, model, tmp_path, samples)
    assert again.model == corrected.model


def test_made_up_inputs_correct_no_bias(tmp_path):
    model, inputs = shifted_gemm()
    made_up = GivenSamples([Sample({"x": inputs})], origin="synthetic")
    context = PassContext(tmp_path, made_up, lambda *_: None)

    result = WeightQuantization(correct_biases=True).apply(model, context)

    assert result.resolved.correct_biases is False
    assert len(result.model.graph.node[-1].input) == 2
