from dataclasses import replace

import numpy as np
import pytest

from tests.onnx_models import small_convnet
from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.bias_correction import BiasCorrections
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.static_writer import StaticWriter

OPTIONS = QdqOptions(IntegerType("int8", is_symmetric=True), IntegerType("uint8", False), True)
NAMES = {"conv", "relu", "flatten", "gemm"}


@pytest.fixture
def writer():
    writer = StaticWriter(small_convnet(), NAMES, OPTIONS)
    writer.use_ranges({name: TensorRange(-1.0, 1.0) for name in writer.tensors("qdq")})
    return writer


def test_the_nodes_with_weights_are_known(writer):
    assert writer.nodes == {"conv", "gemm"}


def test_only_the_nodes_asked_for_are_placed(writer):
    written = writer.write({"gemm"})

    assert [each.node.name for each in written.placement.weighted] == ["gemm"]
    assert "kernel" in [tensor.name for tensor in written.model.graph.initializer]
    assert "dense_quantized" in [tensor.name for tensor in written.model.graph.initializer]


def test_the_float_model_stays_as_it_is(writer):
    before = writer.model.SerializeToString()

    writer.write(writer.nodes)

    assert writer.model.SerializeToString() == before


def test_without_nodes_the_result_is_the_float_model(writer):
    assert writer.write(set()).model == writer.model


@pytest.mark.parametrize("quant_format", ["qdq", "qoperator"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_biases_make_up_for_the_mean_error_of_weights_in_integers(quant_format, per_channel):
    model = small_convnet()
    del model.graph.node[0].input[2]
    image = np.random.default_rng(3).uniform(0.9, 1.1, (8, 3, 8, 8)).astype(np.float32)
    options = replace(OPTIONS, per_channel=per_channel)
    writer = StaticWriter(model, {"conv"}, options)
    ranges = {"image": TensorRange(0.0, 1.1), "maps": TensorRange(-20.0, 20.0)}
    writer.use_ranges(ranges)
    plain = writer.write({"conv"}, quant_format)
    writer.corrections = BiasCorrections({"conv": image.mean(axis=(0, 2, 3))})
    corrected = writer.write({"conv"}, quant_format)

    errors = AnswerErrors(model, [{"image": image}])
    assert plain.corrected == set()
    assert corrected.corrected == {"conv"}
    assert errors.of_model(corrected.model) < errors.of_model(plain.model) / 2


def test_the_bias_of_a_node_left_in_float_stays_as_it_is(writer):
    writer.corrections = BiasCorrections({"conv": np.ones(3), "gemm": np.ones(576)})

    written = writer.write({"gemm"})

    assert written.corrected == {"gemm"}
    assert "shift" in [tensor.name for tensor in written.model.graph.initializer]
