import io
import zipfile

import numpy as np
import pytest

from tests.dataset_files import write_images
from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.opening import open_dataset
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import TensorInfo, UnpackLimits

PIXELS = np.zeros((2, 2, 3))


def dataset(path, table=None, /, *, transform=None, **arrays):
    images = {"b.png": PIXELS, "a.png": PIXELS}
    write_images(path, images, transform or {"size": [2, 2]}, table)
    if arrays:
        content = io.BytesIO()
        np.savez(content, **arrays)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("labels.npz", content.getvalue())
    return open_dataset(path, UnpackLimits())


def test_arrays_label_images_in_the_order_of_their_names(tmp_path):
    masks = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    found = dataset(tmp_path / "d.zip", masks=masks, labels=np.array([7, 8]))
    inputs = [TensorInfo(name="x", dtype="float32", shape=["n", 3, 2, 2])]

    samples = list(FittedSamples(found, inputs))

    assert [sample.labels.tolist() for sample in samples] == [[7], [8]]
    assert [sample.label_field("masks").tolist() for sample in samples] == [
        [[[0, 1], [2, 3]]],
        [[[4, 5], [6, 7]]],
    ]
    assert found.info.has_labels


def test_a_table_and_arrays_may_stand_beside_each_other(tmp_path):
    found = dataset(tmp_path / "d.zip", "file,label\na.png,1\nb.png,0\n", boxes=np.ones((2, 1, 5)))

    [first, _] = found.rows()

    assert (int(first.labels), first.arrays["boxes"].shape) == (1, (1, 5))


def test_refuses_two_sources_of_the_same_labels(tmp_path):
    with pytest.raises(InvalidDatasetError, match="both hold"):
        dataset(tmp_path / "d.zip", "file,label\na.png,1\nb.png,0\n", labels=np.ones(2))


@pytest.mark.parametrize("array", [np.ones(3), np.array(1)])
def test_refuses_arrays_for_another_number_of_images(tmp_path, array):
    with pytest.raises(InvalidDatasetError, match=r"there are 2 images: its first axis"):
        dataset(tmp_path / "d.zip", masks=array)


def test_refuses_an_array_in_the_place_of_the_images(tmp_path):
    with pytest.raises(InvalidDatasetError, match='"x", which the images feed'):
        dataset(tmp_path / "d.zip", transform={"size": [2, 2], "input": "x"}, x=np.ones(2))


def test_refuses_arrays_that_take_too_much_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.engine.datasets.image_labels.MAX_ARRAYS_BYTES", 100)

    with pytest.raises(InvalidDatasetError, match="larger than 100 bytes"):
        dataset(tmp_path / "d.zip", masks=np.ones((2, 50)))


def test_refuses_arrays_that_cannot_be_read(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": PIXELS}, {"size": [2, 2]})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.npz", b"nonsense")

    with pytest.raises(InvalidDatasetError, match=r"labels\.npz cannot be read"):
        open_dataset(path, UnpackLimits())
