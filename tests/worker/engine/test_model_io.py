import hashlib
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import branching, doubling_functions, float_value, linear, small_convnet
from worker.engine.errors import InvalidModelError, UnsupportedModelError
from worker.engine.model_files import serialize
from worker.engine.model_io import load, save


def loaded(content, tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    return load(path, tmp_path / "work")


@pytest.mark.parametrize("model", [small_convnet(), branching(), doubling_functions(3)])
def test_loads_what_it_saved(tmp_path, model):
    path = save(model, tmp_path / "out")

    found = load(path, tmp_path / "work")

    assert found.model == model
    assert found.path == path
    assert found.size_bytes == path.stat().st_size
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_loads_an_archive_with_external_data(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.engine.model_files.MAX_FILE_BYTES", 3000)
    model = linear(np.arange(1000, dtype=np.float32).reshape(2, 500))
    archive = save(model, tmp_path / "out")

    found = load(archive, tmp_path / "work")

    assert archive.name == "model.zip"
    assert found.model == model
    assert found.size_bytes > 4000
    assert found.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_counts_the_files_that_the_model_refers_to_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.engine.model_files.MAX_FILE_BYTES", 3000)
    archive = save(linear(np.arange(1000, dtype=np.float32).reshape(2, 500)), tmp_path / "out")
    alone = load(archive, tmp_path / "alone").size_bytes
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("readme.txt", "x" * 5000)

    found = load(archive, tmp_path / "work")

    assert [path.name for path in found.files] == ["model.onnx", "model.onnx.data"]
    assert found.size_bytes == alone


@pytest.mark.parametrize(
    ("names", "found"), [(["a.txt"], "none"), (["a.onnx", "b.onnx"], "'b.onnx'")]
)
def test_an_archive_must_hold_one_model(tmp_path, names, found):
    path = tmp_path / "upload.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, serialize(linear(np.eye(2))))

    with pytest.raises(InvalidModelError, match=f"exactly one .onnx file.*{found}"):
        load(path, tmp_path / "work")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, I am a model", "the file is text"),
        (b"\x80\x04\x95 pickled", "Python pickle"),
        (b"\x89HDF\r\n\x1a\n", "Keras HDF5"),
        (b"\x1c\x00\x00\x00TFL3rest", "TensorFlow Lite"),
        (serialize(small_convnet())[:-100], "damaged or cut off"),
        (bytes(range(256)) * 4, "not an ONNX model"),
        (b"\x10\x00", "not an ONNX model"),
    ],
)
def test_says_what_a_file_is_that_is_no_model(tmp_path, content, message):
    with pytest.raises(InvalidModelError, match=message):
        loaded(content, tmp_path)


def with_two_equal_outputs(model):
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def with_a_missing_input(model):
    model.graph.node[0].input[0] = "nowhere"


def with_a_negative_dimension(model):
    model.graph.initializer[0].dims[0] = -2


def with_too_little_data(model):
    model.graph.initializer[0].raw_data = bytes(3)


def with_an_unknown_element_type(model):
    model.graph.initializer[0].data_type = 9999


def with_external_data(model):
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../../secret")


def with_a_cycle(model):
    model.graph.node[0].input[0] = "y"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_two_equal_outputs, "SSA"),
        (with_a_missing_input, "nowhere"),
        (with_a_negative_dimension, "negative size -2"),
        (with_too_little_data, "weight"),
        (with_an_unknown_element_type, "unknown element type 9999"),
        (with_external_data, "upload both in one .zip"),
        (with_a_cycle, "topologically sorted"),
    ],
)
def test_refuses_invalid_models(tmp_path, damage, message):
    model = linear(np.eye(2))
    damage(model)

    with pytest.raises(InvalidModelError, match=message):
        loaded(model, tmp_path)


def with_a_future_opset(model):
    model.opset_import[0].version = 2**31 - 1


def with_a_future_ir_version(model):
    model.ir_version = 99


def with_a_custom_operator(model):
    model.graph.node[0].op_type, model.graph.node[0].domain = "Evil", "com.evil"
    model.opset_import.add(domain="com.evil", version=1)


def with_a_misspelt_operator(model):
    model.graph.node[0].op_type = "MatMulTypo"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_a_future_opset, f"opsets 1 to {onnx.defs.onnx_opset_version()} are supported"),
        (with_a_future_ir_version, "IR version 99; up to"),
        (with_a_custom_operator, "no operator Evil of domain com.evil"),
        (with_a_misspelt_operator, "no operator MatMulTypo at version 17"),
    ],
)
def test_says_what_onnxruntime_does_not_support(tmp_path, change, message):
    model = linear(np.eye(2))
    change(model)

    with pytest.raises(UnsupportedModelError, match=message):
        loaded(model, tmp_path)


def test_refuses_functions_that_expand_without_end(tmp_path):
    with pytest.raises(UnsupportedModelError, match="more than 1000000 nodes"):
        loaded(doubling_functions(24), tmp_path)


def test_accepts_an_output_without_a_shape(tmp_path):
    model = linear(np.eye(2))
    model.graph.output[0].type.tensor_type.ClearField("shape")

    assert loaded(model, tmp_path).model == model


def test_accepts_a_stale_shape_record(tmp_path):
    model = linear(np.eye(2))
    model.graph.value_info.append(float_value("product", [7, 7, 7]))

    assert loaded(model, tmp_path).model == model


def test_accepts_two_imports_of_one_domain(tmp_path):
    model = linear(np.eye(2))
    model.opset_import.append(helper.make_opsetid("", 17))

    assert loaded(model, tmp_path).model == model
