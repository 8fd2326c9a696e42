"""Storage of blobs by URL: a local folder or S3, written aside and published at once.

Memory stays bounded whatever a file's size: uploads go in parts, downloads by ranges, each its
own request, so that a slow reader never holds a connection open.
"""

import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from app.errors import StorageError
from app.folders import remove_folder
from app.settings import Settings

PART_BYTES = 8 * 2**20
CHUNK_BYTES = 2**20
"""Of a download: each holds one or two in memory, for as long as its reader likes."""
BLOBS = "blobs/sha256"
_CHECK = "check"
_CHECK_BYTES = 4096
LEFTOVER_AGE = timedelta(hours=3)
"""What has not changed for this long, and nothing names, was left behind."""


@dataclass(frozen=True)
class StoredFile:
    """A stored file, as a listing tells it."""

    key: str
    size_bytes: int
    modified: datetime


def blob_key(sha256: str) -> str:
    """Return the key of the blob with this digest, in hexadecimal."""
    return f"{BLOBS}/{sha256[:2]}/{sha256[2:]}"


class Storage:
    """A few verbs on content-addressed files; every fault is a `StorageError`."""

    def __init__(self, settings: Settings) -> None:
        url = settings.resolved_storage_url
        parts = urlsplit(url)
        self._longest_job = timedelta(seconds=settings.job_time_limit_seconds)
        self._root: Path | None = None
        self._store: ObjectStore
        if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
            self._root = Path(unquote(parts.path))
            self._spool = self._root / "spool"
        elif parts.scheme == "s3" and parts.netloc:
            self._spool = settings.data_dir.resolve() / "spool"
        else:
            raise StorageError(
                f"storage {url!r} is neither `file:///folder` nor `s3://bucket/prefix`"
            )
        with _faults("open", url):
            for folder in (self._spool.parent, self._spool):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._root is None:
                prefix = parts.path.strip("/") or None
                self._store = _open_s3(parts.netloc, prefix, settings.s3_endpoint)
            else:
                self._store = LocalStore(self._root)

    def spool(self) -> Path:
        """Return a private folder for files on their way in."""
        return self._spool

    @contextmanager
    def work_folder(self, name: str) -> Iterator[Path]:
        """Make a private folder in the spool, and remove it with all that a child left there."""
        folder = self._spool / name
        with _faults("make", name):
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            remove_folder(folder)

    def put(self, path: Path, key: str) -> None:
        """Publish a finished file at once, or not at all; a file of the spool may be moved.

        Writing what is stored already renews its modification time.
        """
        with _faults("store", key):
            if self._root is None:
                with _open_regular(path) as file:
                    obstore.put(self._store, key, file, chunk_size=PART_BYTES, max_concurrency=2)
            else:
                self._publish(path, self._root / key)

    def fetch(self, key: str, path: Path) -> None:
        """Write a private copy of a stored blob to a local path, and check its digest."""
        digest = hashlib.sha256()
        chunks = self.read(key, chunk_bytes=PART_BYTES)
        with _faults("copy", key), _open_private(path) as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
        if blob_key(digest.hexdigest()) != key:
            raise StorageError(f"stored file {key!r} is damaged", code="storage_damaged")

    def read(
        self, key: str, start: int = 0, end: int | None = None, *, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[bytes]:
        """Iterate over the chunks of a stored file, or of its bytes from `start` up to `end`.

        A file that is not there, or a storage that is down, shows at the call, before any chunk.
        """
        with _faults("read", key):
            size = obstore.head(self._store, key)["size"]
        return self._chunks(key, start, size if end is None else min(end, size), chunk_bytes)

    def exists(self, key: str) -> bool:
        """Return whether the file is stored."""
        with _faults("look for", key):
            try:
                obstore.head(self._store, key)
            except FileNotFoundError:
                return False
        return True

    def require(self, keys: Iterable[str]) -> None:
        """Raise a `StorageError` unless all these files are stored; putting them again may help."""
        for key in keys:
            if not self.exists(key):
                raise StorageError(f"stored file {key!r} was deleted before anything named it")

    def delete(self, key: str) -> None:
        """Delete a stored file; one that is not there is no fault."""
        with _faults("delete", key), suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def list(self, prefix: str = BLOBS) -> Iterator[StoredFile]:
        """Iterate over the stored files whose key lies under the prefix, a folder."""
        with _faults("list", prefix):
            for page in obstore.list(self._store, prefix, chunk_size=1000):
                for meta in page:
                    yield StoredFile(meta["path"], meta["size"], meta["last_modified"])

    def check(self) -> None:
        """Raise a `StorageError` unless a small file can be spooled, stored and deleted."""
        probe = self._spool / f"check-{uuid4().hex}"
        try:
            with _faults("use", str(self._spool)), _open_private(probe) as file:
                file.write(bytes(_CHECK_BYTES))
            self.put(probe, _CHECK)
            self.delete(_CHECK)
        finally:
            probe.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return the free space of the spool's disk, 0 where it cannot be told."""
        try:
            return shutil.disk_usage(self._spool).free
        except OSError:
            return 0

    def clean_spool(self) -> None:
        """Remove what an interrupted upload or job left in this host's spool."""
        limit = time.time() - (LEFTOVER_AGE + self._longest_job).total_seconds()
        with _faults("clean", str(self._spool)):
            for entry in self._spool.iterdir():
                if entry.lstat().st_mtime >= limit:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    remove_folder(entry)
                else:
                    entry.unlink(missing_ok=True)

    def _chunks(self, key: str, start: int, end: int, chunk_bytes: int) -> Iterator[bytes]:
        for position in range(start, end, chunk_bytes):
            stop = min(position + chunk_bytes, end)
            with _faults("read", key):
                chunk = obstore.get_range(self._store, key, start=position, end=stop).to_bytes()
            yield chunk

    def _publish(self, path: Path, target: Path) -> None:
        """Rename the file, or a copy of one from outside the spool, to its place on the disk."""
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _open_regular(path) as source:
            is_ours = path.resolve().is_relative_to(self._spool.resolve())
            if is_ours and os.fstat(source.fileno()).st_nlink == 1:
                _seal(source)
            else:
                path = self._spool / f"put-{uuid4().hex}"
                with _open_private(path) as copy:
                    shutil.copyfileobj(source, copy, CHUNK_BYTES)
                    copy.flush()
                    _seal(copy)
        path.rename(target)
        _sync_folder(target.parent)


def _open_s3(bucket: str, prefix: str | None, endpoint: str | None) -> ObjectStore:
    """Open a bucket; credentials, region and an endpoint not given come from `AWS_*` variables."""
    return S3Store(
        bucket,
        prefix=prefix,
        config={} if endpoint is None else {"endpoint": endpoint},
        client_options={
            "allow_http": endpoint is not None and endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=2),
            "timeout": timedelta(seconds=60),
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=15)},
    )


@contextmanager
def _faults(verb: str, name: str) -> Iterator[None]:
    """Turn what obstore and the file system raise into our own errors."""
    try:
        yield
    except FileNotFoundError as error:
        detail = f"cannot {verb} {name!r}: it is not in the storage"
        raise StorageError(detail, code="storage_missing") from error
    except (BaseError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(f"cannot {verb} {name!r} in the storage: {reason}") from error


@contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is no link, so that nothing but its own bytes can be published."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        yield file


def _open_private(path: Path) -> BinaryIO:
    """Open a file to write that only this user can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600), "wb")


def _seal(file: BinaryIO) -> None:
    """Make a finished file private, new and safe on the disk."""
    os.utime(file.fileno())
    os.fchmod(file.fileno(), 0o600)
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
