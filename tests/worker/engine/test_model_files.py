import zipfile

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import branching, linear
from worker.engine.errors import PassError
from worker.engine.model_files import (
    needs_external_data,
    put_weights_back,
    serialize,
    tensor_bytes,
    without_weights,
    write,
    write_artifact,
)
from worker.engine.runtime import open_session, run


@pytest.fixture
def _small_files(monkeypatch):
    monkeypatch.setattr("worker.engine.model_files.MAX_FILE_BYTES", 3000)


def large_linear():
    return linear(np.arange(1000, dtype=np.float32).reshape(2, 500), np.ones(500))


@pytest.mark.parametrize(
    ("data_type", "dims", "size"),
    [
        (TensorProto.FLOAT, [2, 3], 24),
        (TensorProto.BFLOAT16, [5], 10),
        (TensorProto.INT4, [5], 3),
        (TensorProto.UINT2, [5], 2),
        (TensorProto.INT64, [], 8),
    ],
)
def test_tells_a_tensors_bytes_from_its_type(data_type, dims, size):
    assert tensor_bytes(TensorProto(data_type=data_type, dims=dims)) == size


def test_a_small_model_is_one_file(tmp_path):
    path = write_artifact(large_linear(), tmp_path / "out")

    assert path.read_bytes() == serialize(large_linear())
    assert list((tmp_path / "out").iterdir()) == [path]


@pytest.mark.usefixtures("_small_files")
def test_a_large_model_keeps_its_weights_beside_it(tmp_path):
    model = large_linear()

    path = write(model, tmp_path)

    assert needs_external_data(model)
    assert path.stat().st_size < 1000
    answer = run(open_session(path), {"x": np.array([[0, 1]], np.float32)})[0]
    assert np.array_equal(answer[0], np.arange(500, 1000) + 1)


@pytest.mark.usefixtures("_small_files")
def test_a_large_artifact_is_one_archive_with_the_same_bytes_each_time(tmp_path):
    archives = [write_artifact(large_linear(), tmp_path / name) for name in ("a", "b")]

    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert list((tmp_path / "a").iterdir()) == archives[:1]
    assert zipfile.ZipFile(archives[0]).namelist() == ["model.onnx", "model.onnx.data"]


@pytest.mark.usefixtures("_small_files")
def test_too_much_outside_the_initializers_is_refused(tmp_path):
    model = large_linear()
    value = numpy_helper.from_array(np.zeros(1000, np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=value))

    with pytest.raises(PassError, match="outside its initializers"):
        write(model, tmp_path)


def test_weights_go_out_and_come_back():
    model = large_linear()

    outline, weights = without_weights(model)

    assert outline.ByteSize() < 1000
    assert list(weights) == ["weight", "bias"]
    put_weights_back(outline, weights)
    assert outline == model


def test_an_outline_keeps_branches_whole():
    outline, weights = without_weights(branching())

    assert weights == {}
    assert outline == branching()
