import tracemalloc
import zipfile

import numpy as np
import pytest

from tests.dataset_files import write_npz
from worker.engine.datasets.opening import open_dataset
from worker.engine.datasets.rows import checked_rows
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import UnpackLimits


def open_npz(path):
    return open_dataset(path, UnpackLimits())


def test_describes_arrays_by_the_shape_of_one_sample(tmp_path):
    path = write_npz(
        tmp_path / "d.npz", x=np.zeros((6, 3, 2), np.float32), labels=np.zeros(6, np.int64)
    )

    info = open_npz(path).info

    assert (info.format, info.sample_count, info.has_labels) == ("npz", 6, True)
    assert [(a.name, a.dtype, a.shape) for a in info.arrays] == [("x", "float32", [3, 2])]


def test_yields_the_rows_in_order_with_their_labels(tmp_path):
    x = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = write_npz(tmp_path / "d.npz", x=x, labels=np.array([7, 8, 9]))

    rows = list(open_npz(path).rows())

    assert np.array_equal([row.arrays["x"] for row in rows], x)
    assert [int(row.labels) for row in rows] == [7, 8, 9]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float64", ">f4", "<U3"])
def test_reads_plain_dtypes(tmp_path, dtype):
    x = np.array([[1, 0], [0, 1]]).astype(dtype)
    path = write_npz(tmp_path / "d.npz", x=x)

    rows = list(open_npz(path).rows())

    assert np.array_equal([row.arrays["x"] for row in rows], x)


def test_reads_small_arrays_in_fortran_order(tmp_path):
    x = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3))
    path = write_npz(tmp_path / "d.npz", x=x)

    rows = list(open_npz(path).rows())

    assert np.array_equal([row.arrays["x"] for row in rows], x)


def test_never_unpickles_objects(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.array([{"a": 1}, None], object))

    with pytest.raises(InvalidDatasetError, match=r'"x" .* dtype object'):
        open_npz(path)


def test_refuses_arrays_with_different_numbers_of_samples(tmp_path):
    path = write_npz(tmp_path / "d.npz", a=np.zeros((2, 1)), b=np.zeros((3, 1)))

    with pytest.raises(InvalidDatasetError, match='"a" 2, "b" 3'):
        open_npz(path)


def test_refuses_a_scalar(tmp_path):
    path = write_npz(tmp_path / "d.npz", rate=np.int64(16000))

    with pytest.raises(InvalidDatasetError, match='"rate" is a scalar'):
        open_npz(path)


def test_refuses_an_array_that_is_shorter_than_its_header_says(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.zeros((4, 2), np.float32))
    cut = tmp_path / "cut.npz"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("x.npy", whole.read("x.npy")[:-4])

    with pytest.raises(InvalidDatasetError, match="28 bytes where its header promises 32"):
        open_npz(cut)


def test_names_the_sample_with_a_value_that_is_not_a_number(tmp_path):
    x = np.zeros((3, 2), np.float32)
    x[2, 1] = np.nan
    dataset = open_npz(write_npz(tmp_path / "d.npz", x=x))

    with pytest.raises(InvalidDatasetError, match='"x" of sample 2 has 1 values'):
        list(checked_rows(dataset))


def test_refuses_a_dataset_without_samples(tmp_path):
    dataset = open_npz(write_npz(tmp_path / "d.npz", x=np.zeros((0, 2))))

    with pytest.raises(InvalidDatasetError, match="no samples"):
        list(checked_rows(dataset))


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    row_bytes = 4 * 2**16
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros((100, 2**16), np.float32))
    dataset = open_npz(path)
    tracemalloc.start()

    for row in dataset.rows():
        assert row.arrays["x"].nbytes == row_bytes
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 8 * row_bytes
