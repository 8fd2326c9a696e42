import os

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from tests.onnx_models import linear
from worker.engine.errors import InvalidModelError
from worker.engine.external_data import read_external_data


def pointing_at(location, **entries):
    """A linear model whose 2x2 weight, 16 bytes, is in another file."""
    model = linear(np.zeros((2, 2)))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


@pytest.mark.parametrize("location", ["w.bin", "deep/er/w.bin"])
def test_reads_weights_from_files_beside_the_model(tmp_path, location):
    path = tmp_path / location
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(4) + np.array([1, 2, 3, 4], np.float32).tobytes())
    model = pointing_at(location, offset=4, length=16)

    files = read_external_data(model, tmp_path)

    assert files == [path]
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), [[1, 2], [3, 4]])
    assert not model.graph.initializer[0].external_data


def test_a_model_alone_must_hold_its_weights():
    with pytest.raises(InvalidModelError, match=r"'w.bin'; upload both in one .zip"):
        read_external_data(pointing_at("w.bin"), None)


@pytest.mark.parametrize("location", ["/etc/hostname", "../w.bin", "a/../../w.bin", "a\\w.bin", ""])
def test_refuses_paths_out_of_the_folder(tmp_path, location):
    with pytest.raises(InvalidModelError, match="not a path relative"):
        read_external_data(pointing_at(location), tmp_path)


@pytest.mark.parametrize("kind", ["missing", "symbolic", "hard"])
def test_refuses_what_was_not_uploaded(tmp_path, kind):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    folder = tmp_path / "upload"
    folder.mkdir()
    link = {"missing": lambda *_: None, "symbolic": os.symlink, "hard": os.link}[kind]
    link(secret, folder / "w.bin")

    with pytest.raises(InvalidModelError, match="is not in the archive"):
        read_external_data(pointing_at("w.bin"), folder)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"length": 2**50}, "takes 16 bytes, but 1125899906842624 are stored"),
        ({"offset": 8}, "beyond the end"),
        ({"offset": -1}, "beyond the end"),
        ({"offset": "many"}, "no number"),
    ],
)
def test_refuses_weights_that_are_not_wholly_in_their_file(tmp_path, entries, message):
    (tmp_path / "w.bin").write_bytes(bytes(20))

    with pytest.raises(InvalidModelError, match=message):
        read_external_data(pointing_at("w.bin", **entries), tmp_path)
