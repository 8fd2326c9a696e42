import numpy as np
import pytest

from tests.onnx_models import small_convnet
from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.bias_correction import BiasCorrections
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.rounding_switches import RoundingSwitches
from worker.engine.quantization.static_writer import StaticWriter

OPTIONS = QdqOptions(IntegerType("int8", is_symmetric=True), IntegerType("uint8", False), True)
IMAGES = [{"image": np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)}]
NARROW = TensorRange(0.0, 0.5)


@pytest.fixture
def measured():
    """Switches of a model whose hidden activation is rounded far too narrowly."""
    writer = StaticWriter(small_convnet(), {"conv", "relu", "flatten", "gemm"}, OPTIONS)
    writer.use_ranges({"image": TensorRange(-4, 4), "active": NARROW})
    written = writer.write(writer.nodes)
    errors = AnswerErrors(writer.model, IMAGES)
    switches = RoundingSwitches(writer.model, written, errors)
    return switches, errors.of_model(written.model)


def test_each_weight_and_activation_has_a_switch(measured):
    assert set(measured[0].inputs) == {"image", "active", "kernel", "dense"}


def test_with_all_switched_off_the_float_model_answers(measured):
    assert measured[0].error(()) == pytest.approx(0, abs=1e-6)


def test_with_all_switched_on_the_quantized_model_answers(measured):
    switches, expected = measured

    assert switches.error(list(switches.inputs)) == pytest.approx(expected, rel=0.02)


def test_the_rounding_that_hurts_has_the_largest_share(measured):
    shares = measured[0].shares(allowed=1e-4)

    assert max(shares, key=shares.get) == "active"


@pytest.fixture
def corrected():
    """Switches of a Conv without a bias, and a Gemm with one, whose biases are corrected."""
    model = small_convnet()
    del model.graph.node[0].input[2]
    writer = StaticWriter(model, {"conv", "relu", "flatten", "gemm"}, OPTIONS)
    writer.use_ranges({"image": TensorRange(-4, 4), "active": TensorRange(0, 16)})
    random = np.random.default_rng(2)
    means = {"conv": random.normal(size=3), "gemm": random.normal(size=576)}
    writer.corrections = BiasCorrections(means)
    written = writer.write(writer.nodes)
    errors = AnswerErrors(writer.model, IMAGES)
    return RoundingSwitches(model, written, errors), errors.of_model(written.model)


def test_a_corrected_bias_is_switched_with_its_weight(corrected):
    switches, expected = corrected

    assert set(switches.inputs) == {"image", "active", "kernel", "dense"}
    assert switches.error(()) == pytest.approx(0, abs=1e-6)
    assert switches.error(list(switches.inputs)) == pytest.approx(expected, rel=0.02)
