import numpy as np
import pytest

from tests.dataset_files import write_npz_archive
from worker.engine.datasets.opening import open_dataset
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import UnpackLimits


def feeds(length, labels=None):
    arrays = {"ids": np.full((1, length), length, np.int64)}
    return arrays if labels is None else {**arrays, "labels": np.array(labels)}


def test_yields_runs_in_the_order_of_their_names(tmp_path):
    path = write_npz_archive(tmp_path / "d.zip", {"b.npz": feeds(5), "a.npz": feeds(3)})

    rows = list(open_dataset(path, UnpackLimits()).rows())

    assert [(row.name, row.arrays["ids"].shape) for row in rows] == [
        ("a.npz", (1, 3)),
        ("b.npz", (1, 5)),
    ]


def test_describes_ragged_dimensions_as_unknown(tmp_path):
    path = write_npz_archive(tmp_path / "d.zip", {"a.npz": feeds(3), "b.npz": feeds(5)})

    info = open_dataset(path, UnpackLimits()).info

    assert (info.format, info.sample_count, info.has_labels) == ("npz_archive", 2, False)
    assert [(a.name, a.shape) for a in info.arrays] == [("ids", [1, None])]


def test_gives_each_run_its_labels(tmp_path):
    path = write_npz_archive(tmp_path / "d.zip", {"a.npz": feeds(3, [1]), "b.npz": feeds(4, [0])})

    rows = list(open_dataset(path, UnpackLimits()).rows())

    assert [row.labels.tolist() for row in rows] == [[1], [0]]


def test_names_the_run_that_has_other_arrays(tmp_path):
    path = write_npz_archive(
        tmp_path / "d.zip", {"a.npz": feeds(3), "b.npz": {"tokens": np.zeros(1)}}
    )

    with pytest.raises(InvalidDatasetError, match=r'b\.npz has the arrays "tokens"'):
        open_dataset(path, UnpackLimits())


def test_names_the_run_that_has_another_dtype(tmp_path):
    path = write_npz_archive(
        tmp_path / "d.zip", {"a.npz": feeds(3), "b.npz": {"ids": np.zeros((1, 3), np.int32)}}
    )

    with pytest.raises(InvalidDatasetError, match=r'"ids" of b\.npz is int32, and int64'):
        open_dataset(path, UnpackLimits())


def test_a_scalar_stays_a_scalar(tmp_path):
    path = write_npz_archive(tmp_path / "d.zip", {"a.npz": {"rate": np.int64(16000)}})

    [row] = open_dataset(path, UnpackLimits()).rows()

    assert (row.arrays["rate"].shape, int(row.arrays["rate"])) == ((), 16000)
