import zipfile

import numpy as np
import pytest

from tests.dataset_files import write_npz
from worker.engine.datasets.archive import check_archive
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import UnpackLimits


def test_refuses_what_is_no_zip_file(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(b"not a zip file")

    with pytest.raises(InvalidDatasetError, match="is no zip file"):
        check_archive(path, UnpackLimits())


def test_refuses_more_than_may_be_unpacked(tmp_path):
    path = write_npz(tmp_path / "d.npz", x=np.zeros(1000))

    with pytest.raises(InvalidDatasetError, match="over the limit of 4000") as refused:
        check_archive(path, UnpackLimits(max_unpacked_bytes=4000))
    assert refused.value.code == "archive_too_large"


def test_refuses_a_bomb(tmp_path):
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x=np.zeros(2**24, np.float64))

    with pytest.raises(InvalidDatasetError, match="times its packed size"):
        check_archive(path, UnpackLimits())


def test_leaves_out_what_desktops_add(tmp_path):
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("b.npz", "a.npz", "__MACOSX/a.npz", "folder/.DS_Store"):
            archive.writestr(name, b"")

    assert check_archive(path, UnpackLimits()) == ["a.npz", "b.npz"]
