"""A cache of what is expensive to work out and always comes out the same, in a folder of files.

Whoever runs the engine decides what shares a folder: the files are read back as plain numbers, but
nothing says that they are right beyond that another call with this folder wrote them.
"""

import hashlib
import os
import tempfile
import tokenize
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import IO
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime

from worker.engine.processor import processor
from worker.engine.samples import Array, Feeds, SampleSource

ENGINE = Path(__file__).parent
MAX_ENTRY_BYTES = 256 * 2**20
"""Larger entries are not kept."""
SUFFIX = ".npz"
DAMAGED = (
    # what zipfile and numpy raise on a file that is not one of ours
    OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, MemoryError,
    SyntaxError, TypeError, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip

_known_digests: WeakKeyDictionary[SampleSource, str] = WeakKeyDictionary()


def cache_key(kind: str, *parts: str | bytes) -> str:
    """Return the key of a result of some kind: a digest of all that decides it.

    What is the same for all results of one installation (versions, the engine's own code, and the
    processor, whose kernels round differently) is always part of it; `parts` are the rest: the
    model's bytes, the data's digest, options as JSON, the execution provider.
    """
    digest = hashlib.sha256()
    cpu, flags = processor()
    installation = (_code_sha256(ENGINE), onnxruntime.__version__, version("numpy"), cpu, *flags)
    for part in (*installation, kind, *parts):
        data = part.encode() if isinstance(part, str) else part
        # With its length before each, no two lists of parts are the same bytes.
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


@cache
def _code_sha256(folder: Path) -> str:
    """Return the digest of code: what it works out may change with any line of it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def samples_sha256(samples: SampleSource) -> str:
    """Return the digest of all feeds, in order; a source is read once, as it never changes."""
    if samples not in _known_digests:
        digest = hashlib.sha256()
        for sample in samples:
            digest.update(feeds_sha256(sample.feeds).encode())
        _known_digests[samples] = digest.hexdigest()
    return _known_digests[samples]


def feeds_sha256(feeds: Feeds) -> str:
    """Return the digest of the names, dtypes, shapes and values of one run's inputs."""
    digest = hashlib.sha256()
    for name, array in sorted(feeds.items()):
        # Strings are objects, whose memory says nothing.
        plain = array.astype(np.str_) if array.dtype == object else array
        digest.update(f"{name}\0{plain.dtype.str}{plain.shape}\0".encode())
        digest.update(np.ascontiguousarray(plain).data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Cache:
    """Named arrays by key; without a folder, it keeps nothing and has nothing.

    Neither reading nor writing ever fails: what cannot be read is absent, what cannot be written is
    not kept.
    """

    folder: Path | None = None

    def load(self, key: str) -> dict[str, Array] | None:
        """Return the arrays saved under a key, or None; the caller checks names and shapes."""
        if self.folder is None:
            return None
        try:
            with zipfile.ZipFile(self.folder / f"{key}{SUFFIX}") as archive:
                return {
                    member.filename.removesuffix(".npy"): _read(archive, member)
                    for member in archive.infolist()
                }
        except DAMAGED:
            return None

    def save(self, key: str, arrays: Mapping[str, Array]) -> None:
        """Keep arrays of numbers under a key, at once or not at all."""
        if self.folder is None or sum(each.nbytes for each in arrays.values()) > MAX_ENTRY_BYTES:
            return
        with suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=self.folder)
            try:
                with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                    for array_name, array in arrays.items():
                        with archive.open(f"{array_name}.npy", "w", force_zip64=True) as member:
                            plain = np.asarray(array, order="C")
                            np.lib.format.write_array(member, plain, allow_pickle=False)
                Path(name).replace(self.folder / f"{key}{SUFFIX}")
            finally:
                Path(name).unlink(missing_ok=True)

    def arrays(self, key: str, make: Callable[[], Mapping[str, Array]]) -> Mapping[str, Array]:
        """Return the arrays saved under a key, or make and save them."""
        found = self.load(key)
        if found is not None:
            return found
        made = make()
        self.save(key, made)
        return made


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """Return one array, of which no more is believed than the file holds.

    Raises:
        ValueError: the member is no array of numbers that `save` wrote.
    """
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError("an entry is never compressed")
    with archive.open(member) as file:
        dtype, shape = _header(file)
        held = member.file_size - file.tell()
        if dtype.hasobject or held != prod(shape) * dtype.itemsize or held > MAX_ENTRY_BYTES:
            raise ValueError("the header and the data do not fit")
        return np.frombuffer(bytearray(file.read()), dtype).reshape(shape)


def _header(file: IO[bytes]) -> tuple[np.dtype[np.generic], tuple[int, ...]]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("numbers need no later version of the format")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if is_fortran:
        raise ValueError("arrays are saved in C order")
    return dtype, shape
