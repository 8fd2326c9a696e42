import pytest

from tests.onnx_models import small_convnet
from worker.engine.calibration.ranges import TensorRange
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
