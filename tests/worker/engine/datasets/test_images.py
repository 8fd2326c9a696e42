import json

import numpy as np
import pytest

from tests.dataset_files import write_images
from worker.engine.datasets import images
from worker.engine.datasets.images import ImageTransform
from worker.engine.datasets.opening import open_dataset
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import UnpackLimits

RED = np.full((4, 6, 3), (255, 0, 51), np.uint8)


def rows_of(path, transform=None):
    return list(open_dataset(path, UnpackLimits(), transform).rows())


def test_scales_normalizes_and_puts_channels_first(tmp_path):
    transform = {"size": [2, 3], "mean": [0.5, 0.0, 0.2], "std": [0.5, 1.0, 0.1]}
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, transform)

    [row] = rows_of(path)

    assert row.arrays[""].shape == (3, 2, 3)
    # (255/255 - 0.5) / 0.5 = 1, (0 - 0) / 1 = 0, (51/255 - 0.2) / 0.1 = 0
    assert np.allclose(row.arrays[""][:, 0, 0], [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("color", "expected"),
    [("rgb", [255, 0, 51]), ("bgr", [51, 0, 255]), ("grey", [82])],
)
def test_orders_colors(tmp_path, color, expected):
    # grey: ITU-R 601, 0.299 * 255 + 0.114 * 51 = 82.06
    transform = {"size": [4, 6], "layout": "nhwc", "color": color, "dtype": "uint8"}
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, transform)

    [row] = rows_of(path)

    assert row.arrays[""][0, 0].tolist() == expected


@pytest.mark.parametrize(("resize", "corner"), [("stretch", 255), ("crop", 255), ("pad", 0)])
def test_resizes_as_declared(resize, corner):
    transform = ImageTransform(size=(6, 6), resize=resize, layout="nhwc", dtype="uint8")

    sample = transform.apply(images.Image.fromarray(RED))

    assert sample.shape == (6, 6, 3)
    assert sample[0, 0, 0] == corner


def test_takes_a_transform_given_beside_the_archive(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2]})

    [row] = rows_of(path, json.dumps({"size": [3, 5], "input": "image"}))

    assert row.arrays["image"].shape == (3, 3, 5)


def test_reads_labels_by_file_name(tmp_path):
    path = write_images(
        tmp_path / "d.zip",
        {"a.png": RED, "b.png": RED},
        {"size": [2, 2]},
        labels="file,label\nb.png,7\na.png,3\n",
    )

    assert [int(row.labels) for row in rows_of(path)] == [3, 7]


def test_names_an_image_without_a_label(tmp_path):
    path = write_images(
        tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2]}, labels="file,label\nb.png,7\n"
    )

    with pytest.raises(InvalidDatasetError, match=r'no label for "a\.png"'):
        rows_of(path)


def test_asks_for_a_missing_transform(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": RED})

    with pytest.raises(InvalidDatasetError, match=r"transform\.json"):
        rows_of(path)


def test_refuses_an_unknown_field_and_lists_the_known_ones(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2], "colour": "rgb"})

    with pytest.raises(InvalidDatasetError, match=r"colour: .*known fields: size, .*color"):
        rows_of(path)


def test_refuses_means_for_other_channels(tmp_path):
    path = write_images(
        tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2], "color": "grey", "mean": [0, 0, 0]}
    )

    with pytest.raises(InvalidDatasetError, match="mean has 3 values for 1 channels"):
        rows_of(path)


def test_names_a_file_that_is_no_image(tmp_path):
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2]})
    with images.zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.png", b"not an image")

    with pytest.raises(InvalidDatasetError, match=r'"b\.png" is not a readable'):
        rows_of(path)


def test_refuses_an_image_with_too_many_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 4 * 6 - 1)
    path = write_images(tmp_path / "d.zip", {"a.png": RED}, {"size": [2, 2]})

    with pytest.raises(InvalidDatasetError, match=r'"a\.png" has over 23 pixels'):
        rows_of(path)
