"""Files on their way in: hashed and counted while they are written to the storage's spool."""

import hashlib
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from app.errors import InvalidRequestError, StorageError, TooLargeError
from app.storage import Storage

MAX_NAME_BYTES = 200
"""In UTF-8; a result's name is longer by a suffix, and file systems take 255."""


@dataclass(frozen=True)
class Upload:
    """A received file in the spool, and what its sender calls it."""

    path: Path
    name: str
    sha256: str
    size_bytes: int


def ensure_stored(storage: Storage, upload: Upload, key: str) -> None:
    """Store a file that is known already, should its bytes have been lost."""
    if not storage.exists(key):
        storage.put(upload.path, key)


class SpoolWriter:
    """Writes one file into the spool, up to a cap; the caller removes what it left there."""

    def __init__(self, folder: Path, name: str, max_bytes: int) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._path = folder / f"upload-{uuid4().hex}"
        with _spool_faults():
            self._file = self._path.open("xb")
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append some bytes.

        Raises:
            TooLargeError: the file passes the cap.
            StorageError: the disk does not take it.
        """
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise TooLargeError(f"a file may have {self._max_bytes} bytes at most")
        self._digest.update(data)
        with _spool_faults():
            self._file.write(data)

    def finish(self) -> Upload:
        """Close the file and say what it is."""
        with _spool_faults():
            self._file.close()
        return Upload(self._path, self._name, self._digest.hexdigest(), self._size_bytes)

    def discard(self) -> None:
        """Close and remove the file, wherever it stands; one that was moved away stays there."""
        with suppress(OSError):  # what was not written yet does not matter
            self._file.close()
        self._path.unlink(missing_ok=True)


def clean_name(name: str) -> str:
    """Return a file name fit to be stored and shown: no folders, no invisible characters.

    Raises:
        InvalidRequestError: it has control characters or no encoding, or is too long.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in base):
        raise InvalidRequestError(
            "a file name may not hold control characters; rename the file", code="invalid_name"
        )
    printable = "".join(letter for letter in base if letter.isprintable()).strip()
    if len(printable.encode()) > MAX_NAME_BYTES:
        raise InvalidRequestError(
            f"a file name may have {MAX_NAME_BYTES} bytes at most; rename the file",
            code="invalid_name",
        )
    return "" if printable in {".", ".."} else printable


@contextmanager
def _spool_faults() -> Iterator[None]:
    """Turn a full or missing disk into the storage's error."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write to the spool: {error}") from error
