from dataclasses import dataclass, field

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of, small_convnet
from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.errors import PassError
from worker.engine.passes.base import PassContext
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


def test_the_opset_follows_the_bits():
    assert [WeightQuantization(bits=bits).required_opset() for bits in (8, 4, 2)] == [13, 21, 25]


def test_a_model_without_weights_has_nothing_to_compress(tmp_path):
    with pytest.raises(PassError, match="512 values") as raised:
        apply(WeightQuantization(), linear(np.ones((4, 3))), tmp_path)

    assert raised.value.code == "nothing_to_compress"


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
