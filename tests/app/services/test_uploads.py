import hashlib

import pytest

from app.errors import InvalidRequestError, StorageError, TooLargeError
from app.services.uploads import SpoolWriter, clean_name
from tests.full_disks import full_disk


def test_counts_and_hashes_what_it_writes(tmp_path):
    writer = SpoolWriter(tmp_path, "a.onnx", max_bytes=10)
    writer.write(b"hello")
    writer.write(memoryview(b"world"))

    upload = writer.finish()

    assert upload.path.read_bytes() == b"helloworld"
    assert upload.sha256 == hashlib.sha256(b"helloworld").hexdigest()
    assert upload.size_bytes == 10


def test_stops_at_the_cap(tmp_path):
    writer = SpoolWriter(tmp_path, "a.onnx", max_bytes=10)
    writer.write(b"x" * 10)

    with pytest.raises(TooLargeError):
        writer.write(b"x")
    writer.discard()


@pytest.mark.parametrize("size", [5000, 500_000])
def test_a_full_disk_is_a_fault_of_the_storage(tmp_path, size):
    writer = SpoolWriter(tmp_path, "a.onnx", max_bytes=10**6)

    with full_disk(), pytest.raises(StorageError, match="cannot write"):
        _write_and_finish(writer, size)
    writer.discard()

    assert list(tmp_path.iterdir()) == []


def _write_and_finish(writer, size):
    writer.write(bytes(size))
    writer.finish()


def test_a_missing_spool_is_a_fault_of_the_storage(tmp_path):
    with pytest.raises(StorageError):
        SpoolWriter(tmp_path / "gone", "a.onnx", max_bytes=10)


def test_removes_what_it_wrote(tmp_path):
    writer = SpoolWriter(tmp_path, "a.onnx", max_bytes=10)
    writer.write(b"x")

    writer.discard()
    writer.discard()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", ""),
        (".", ""),
        ("a/", ""),
        ("C:\\models\\a.onnx", "a.onnx"),
        ("Größe 模型.onnx", "Größe 模型.onnx"),
        ('a";\u202eb.onnx', 'a";b.onnx'),
        ("a\ufffd.onnx", "a\ufffd.onnx"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_hostile_name_stays_a_name(name, clean):
    assert clean_name(name) == clean


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.onnx\r\nX-Evil: 1", "control characters"),
        ("a\x00.onnx", "control characters"),
        ("a\x9b31m.onnx", "control characters"),
        ("\ud800.onnx", "control characters"),
        ("x" * 201, "200 bytes at most"),
        ("模" * 67, "200 bytes at most"),
    ],
)
def test_refuses_a_name_that_cannot_be_kept(name, words):
    with pytest.raises(InvalidRequestError, match=words):
        clean_name(name)
