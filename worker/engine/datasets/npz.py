"""`.npz` files, read row by row: memory does not grow with the number of rows."""

import io
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from worker.engine.datasets.archive import member_names, reading
from worker.engine.datasets.rows import LABELS, Row
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import ArrayInfo, DatasetInfo
from worker.engine.samples import Array

SUFFIX = ".npy"
MAX_FORTRAN_BYTES = 64 * 2**20
"""Columns cannot be streamed as rows: a larger array in Fortran order is refused."""
PLAIN_KINDS = "biufcSU"
MAX_ARRAYS = 1000
MAX_AXES = 32
UNREADABLE_HEADER = (
    # what numpy's header parser lets through of Python's own, besides its ValueError
    ValueError, SyntaxError, TypeError, MemoryError, RecursionError, tokenize.TokenError,
)  # fmt: skip

LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
"""Of a header's length, by the format's version."""
MAX_HEADER_BYTES = 10_000
"""What numpy's parser takes."""

HeaderValues = tuple[tuple[int, ...], bool, np.dtype[np.generic]]


@dataclass(frozen=True)
class ArrayHeader:
    """What a `.npy` member holds, and where its data begins."""

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    fortran_order: bool
    offset: int

    @property
    def size_bytes(self) -> int:
        """Bytes of the array's data."""
        return prod(self.shape) * self.dtype.itemsize

    def describe(self, shape: list[int | None]) -> ArrayInfo:
        """Return the array's description with the shape of one sample."""
        return ArrayInfo(name=self.name, dtype=dtype_name(self.dtype), shape=shape)


class NpzFile:
    """The arrays of one `.npz` file by name; pickled objects are never loaded."""

    def __init__(self, archive: zipfile.ZipFile, label: str) -> None:
        self._archive = archive
        self._label = label
        members = member_names(archive)
        odd = next((name for name in members if not name.endswith(SUFFIX)), None)
        if odd is not None:
            raise InvalidDatasetError(f'{label} holds "{odd}", which is no {SUFFIX} array')
        if len(members) > MAX_ARRAYS:
            raise InvalidDatasetError(
                f"{label} holds {len(members)} arrays, over the limit of {MAX_ARRAYS}: the first"
                " axis of an array counts the samples"
            )
        names = [name.removesuffix(SUFFIX) for name in members]
        self.headers = {name: self._read_header(name) for name in names}

    def rows(self, name: str) -> Iterator[Array]:
        """Yield the entries of an array's first axis, in order."""
        header = self.headers[name]
        if header.fortran_order:
            yield from self.array(name)
            return
        shape = header.shape[1:]
        size = prod(shape) * header.dtype.itemsize
        with self._open(name) as member:
            member.read(header.offset)
            for _ in range(header.shape[0]):
                with reading(self._words(name)):
                    data = np.frombuffer(_read_exactly(member, size), header.dtype)
                    entry = native(data.reshape(shape))
                yield entry

    def array(self, name: str) -> Array:
        """Return an array whole."""
        header = self.headers[name]
        with self._open(name) as member, reading(self._words(name)):
            member.read(header.offset)
            data = np.frombuffer(_read_exactly(member, header.size_bytes), header.dtype)
            order: str = "F" if header.fortran_order else "C"
            return native(np.asarray(_reshaped(data, header.shape, order), order="C"))

    def _read_header(self, name: str) -> ArrayHeader:
        words = self._words(name)
        with self._open(name) as member, reading(words):
            version = np.lib.format.read_magic(member)
            if version not in LENGTH_BYTES:
                raise InvalidDatasetError(f"{words} is of .npy version {version}; use plain arrays")
            described = _parsed(version, _header_text(version, member))
            if described is None:
                raise InvalidDatasetError(
                    f"{words} has no readable header: save it with numpy.savez"
                )
            shape, fortran_order, dtype = described
            header = ArrayHeader(name, dtype, shape, fortran_order, member.tell())
        _check_header(header, words)
        held = self._archive.getinfo(name + SUFFIX).file_size - header.offset
        if held != header.size_bytes:
            raise InvalidDatasetError(
                f"{words} holds {held} bytes where its header promises {header.size_bytes}"
            )
        return header

    def _open(self, name: str) -> IO[bytes]:
        with reading(self._words(name)):
            return self._archive.open(name + SUFFIX)

    def _words(self, name: str) -> str:
        return f'array "{name}" of {self._label}'


class NpzDataset:
    """A `.npz` whose arrays' first axis counts the samples."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            headers = NpzFile(archive, "the dataset").headers
        scalars = [name for name, header in headers.items() if not header.shape]
        if scalars:
            raise InvalidDatasetError(
                f'array "{scalars[0]}" is a scalar, and the first axis of an array counts the'
                " samples: repeat it for each sample"
            )
        counts = {name: header.shape[0] for name, header in headers.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f'"{name}" {count}' for name, count in counts.items())
            raise InvalidDatasetError(
                f"the arrays have different numbers of samples on their first axis: {listed}"
            )
        self.info = DatasetInfo(
            format="npz",
            sample_count=next(iter(counts.values()), 0),
            arrays=[
                header.describe(list(header.shape[1:]))
                for name, header in headers.items()
                if name != LABELS
            ],
            has_labels=LABELS in headers,
        )

    def rows(self) -> Iterator[Row]:
        """Yield each sample's arrays, without the sample axis."""
        with zipfile.ZipFile(self._path) as archive:
            file = NpzFile(archive, "the dataset")
            readers = {name: file.rows(name) for name in file.headers}
            for index in range(self.info.sample_count):
                arrays = {name: next(reader) for name, reader in readers.items()}
                yield Row(f"sample {index}", arrays, arrays.pop(LABELS, None))


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """Return numpy's name of a dtype; `string` for text of any length."""
    return "string" if dtype.kind in "SU" else dtype.newbyteorder("=").name


def native(array: Array) -> Array:
    """Return an array as onnxruntime takes it: native byte order, text as objects."""
    if array.dtype.kind == "S":
        return np.char.decode(array.astype(np.bytes_), "utf-8").astype(object)
    if array.dtype.kind == "U":
        _check_characters(array)
        return array.astype(object)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _header_text(version: tuple[int, int], member: IO[bytes]) -> bytes:
    """Return a header as it is stored, its length before it; empty where it is too long."""
    length = _read_exactly(member, LENGTH_BYTES[version])
    size = int.from_bytes(length, "little")
    return length + _read_exactly(member, size) if size <= MAX_HEADER_BYTES else b""


@lru_cache(maxsize=256)
def _parsed(version: tuple[int, int], header: bytes) -> HeaderValues | None:
    """Return what a header says; None where it cannot be parsed.

    That is slow, and the files of an archive have few headers among them. No error is chained to
    the one that follows: Python's parser calls deep nesting a MemoryError, which is no shortage of
    memory here.
    """
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    try:
        return read(io.BytesIO(header))
    except UNREADABLE_HEADER:
        return None


def _check_characters(array: Array) -> None:
    """Raise a ValueError for text beyond Unicode, on which numpy has a SystemError."""
    codes = np.atleast_1d(array.astype(array.dtype.newbyteorder("="))).view(np.uint32)
    is_half = (codes >= 0xD800) & (codes <= 0xDFFF)
    if (is_half | (codes > sys.maxunicode)).any():
        raise ValueError("its text holds codes that are no characters")


def _check_header(header: ArrayHeader, words: str) -> None:
    if header.dtype.hasobject or header.dtype.kind not in PLAIN_KINDS or header.dtype.names:
        raise InvalidDatasetError(
            f"{words} has the dtype {header.dtype}; only plain numbers, booleans and text"
            " can be read: convert it with astype before saving"
        )
    if header.dtype.itemsize == 0:
        raise InvalidDatasetError(f"{words} holds empty texts only")
    if len(header.shape) > MAX_AXES:
        raise InvalidDatasetError(f"{words} has {len(header.shape)} axes; {MAX_AXES} are possible")
    if min(header.shape, default=0) < 0:
        raise InvalidDatasetError(f"{words} has the impossible shape {header.shape}")
    if header.fortran_order and header.size_bytes > MAX_FORTRAN_BYTES:
        raise InvalidDatasetError(
            f"{words} is stored in Fortran order, which cannot be read row by row:"
            " save numpy.ascontiguousarray(array)"
        )


def _read_exactly(member: IO[bytes], size: int) -> bytes:
    data = member.read(size)
    if len(data) != size:
        raise EOFError("it ends too early")
    return data


def _reshaped(data: Array, shape: tuple[int, ...], order: str) -> npt.NDArray[np.generic]:
    return data.reshape(shape[::-1]).T if order == "F" else data.reshape(shape)
