import io
import stat
import tarfile
import zipfile

import pytest

from worker.engine.archives import is_archive, unpack
from worker.engine.errors import InvalidModelError
from worker.engine.requests import UnpackLimits

LIMITS = UnpackLimits()


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def unpacked(path, tmp_path, limits=LIMITS):
    folder = tmp_path / "out"
    paths = unpack(path, folder, limits, InvalidModelError)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def test_unpacks_a_zip_with_folders(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("m.onnx", b"model"), ("data/w.bin", b"weights")])

    assert is_archive(path)
    assert unpacked(path, tmp_path) == {"m.onnx": b"model", "data/w.bin": b"weights"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_unpacks_a_tar_in_each_compression(tmp_path, mode):
    path = write_tar(tmp_path / "a.tar", [(tarfile.TarInfo("m.onnx"), b"model")], mode)

    assert is_archive(path)
    assert unpacked(path, tmp_path) == {"m.onnx": b"model"}


def test_leaves_out_what_macos_adds(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("m.onnx", b"m"), ("__MACOSX/._m.onnx", b"x")])

    assert list(unpacked(path, tmp_path)) == ["m.onnx"]


def test_a_model_is_no_archive(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08\x12\x04test")

    assert not is_archive(path)


@pytest.mark.parametrize(
    "name", ["../m.onnx", "/m.onnx", "a/../../m.onnx", "a\\m.onnx", "a/" * 20 + "m"]
)
def test_refuses_paths_that_leave_the_folder(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", [(name, b"model")])

    with pytest.raises(InvalidModelError, match="path that is not allowed"):
        unpacked(path, tmp_path)
    assert sorted(tmp_path.rglob("*")) == [path, tmp_path / "out"]


def test_refuses_a_name_that_is_there_twice(tmp_path):
    path = write_tar(
        tmp_path / "a.tar", [(tarfile.TarInfo("m"), b"a"), (tarfile.TarInfo("./m"), b"b")]
    )

    with pytest.raises(InvalidModelError, match="'m' twice"):
        unpacked(path, tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_refuses_links_and_special_files_in_a_tar(tmp_path, kind):
    info = tarfile.TarInfo("weights")
    info.type, info.linkname = kind, "/etc/hostname"
    path = write_tar(tmp_path / "a.tar", [(info, b"")])

    with pytest.raises(InvalidModelError, match="plain files only, but 'weights'"):
        unpacked(path, tmp_path)


def test_refuses_links_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("weights")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "a.zip", [(link, b"/etc/hostname")])

    with pytest.raises(InvalidModelError, match="plain files only"):
        unpacked(path, tmp_path)


def test_stops_at_the_byte_limit(tmp_path):
    path = write_zip(tmp_path / "a.zip", [("zeros", bytes(3_000_000))])
    limits = UnpackLimits(max_unpacked_bytes=2_000_000)

    with pytest.raises(InvalidModelError, match="more than 2000000 bytes") as refused:
        unpacked(path, tmp_path, limits)

    assert refused.value.code == "archive_too_large"
    assert (tmp_path / "out" / "zeros").stat().st_size <= 2_000_000


def test_stops_at_the_ratio_once_the_content_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.engine.archives.RATIO_APPLIES_FROM_BYTES", 100_000)
    path = write_zip(tmp_path / "a.zip", [("zeros", bytes(3_000_000))])

    with pytest.raises(InvalidModelError, match="50 times its size"):
        unpacked(path, tmp_path)


def test_refuses_too_many_files(tmp_path):
    path = write_zip(tmp_path / "a.zip", [(f"{n}", b"") for n in range(1001)])

    with pytest.raises(InvalidModelError, match="more than 1000 files"):
        unpacked(path, tmp_path)


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_a_truncated_archive_is_damaged(tmp_path, name):
    path = tmp_path / name
    if name == "a.zip":
        write_zip(path, [("m", bytes(range(256)) * 100)])
    else:
        write_tar(path, [(tarfile.TarInfo("m"), bytes(range(256)) * 100)], "w:gz")
    path.write_bytes(path.read_bytes()[:-60])

    with pytest.raises(InvalidModelError, match="damaged"):
        unpacked(path, tmp_path)
