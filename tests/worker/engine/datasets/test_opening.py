import zipfile

import numpy as np
import pytest

from tests.dataset_files import write_npz
from worker.engine.datasets.opening import inspect_dataset, open_dataset
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import InspectDataset, TensorInfo, UnpackLimits


def test_says_which_formats_there_are(tmp_path):
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("table.csv", "1,2")

    with pytest.raises(InvalidDatasetError, match=r'"table\.csv": expected a \.npz'):
        open_dataset(path, UnpackLimits())


def test_refuses_an_empty_archive(tmp_path):
    path = tmp_path / "d.zip"
    zipfile.ZipFile(path, "w").close()

    with pytest.raises(InvalidDatasetError, match="no samples"):
        open_dataset(path, UnpackLimits())


def test_refuses_a_transform_without_images(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.zeros(2))

    with pytest.raises(InvalidDatasetError, match="no images"):
        open_dataset(path, UnpackLimits(), '{"size": [2, 2]}')


def test_inspection_reads_every_sample(tmp_path):
    x = np.zeros((5, 2), np.float32)
    x[4] = np.nan
    path = write_npz(tmp_path / "d.npz", x=x)

    with pytest.raises(InvalidDatasetError, match="sample 4"):
        inspect_dataset(InspectDataset(dataset_path=path, workdir=tmp_path))


def test_inspection_holds_a_dataset_against_a_model(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.zeros((5, 2), np.float32))
    inputs = [TensorInfo(name="x", dtype="float32", shape=["n", 3])]

    with pytest.raises(InvalidDatasetError, match=r"wants the shape \(3,\)"):
        inspect_dataset(InspectDataset(dataset_path=path, workdir=tmp_path, model_inputs=inputs))
