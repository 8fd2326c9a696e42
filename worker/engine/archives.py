"""Safe unpacking of uploaded archives: `.zip`, `.tar` and compressed `.tar`."""

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO

from worker.engine.errors import EngineError
from worker.engine.requests import UnpackLimits

MAX_MEMBERS = 1000
MAX_FOLDERS_DEEP = 16
CHUNK_BYTES = 1 << 20
RATIO_APPLIES_FROM_BYTES = 64 * 2**20
MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
TAR_MAGIC_OFFSET = 257
BROKEN_ARCHIVE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
    OSError,  # gzip's and bz2's way to report bad data
    UnicodeError,
)

Member = tuple[str, IO[bytes] | None]
"""A regular file's name in the archive, and its content; None for what is not a regular file."""


def is_archive(path: Path) -> bool:
    """Return whether a file starts like one of the archives that `unpack` takes."""
    with path.open("rb") as file:
        head = file.read(TAR_MAGIC_OFFSET + 5)
    return head.startswith(MAGIC) or head[TAR_MAGIC_OFFSET:] == b"ustar"


def unpack(
    archive: Path, folder: Path, limits: UnpackLimits, failure: type[EngineError]
) -> list[Path]:
    """Unpack the regular files of an archive into a new folder and return their paths, sorted.

    Raises:
        failure: the archive is damaged, holds links, absolute or climbing paths, duplicates or
            special files, or is over a limit (code `archive_too_large`).
    """
    folder.mkdir(parents=True)
    budget = _Budget(archive.stat().st_size, limits, failure)
    paths: list[Path] = []
    try:
        for name, content in _members(archive):
            if content is None:
                raise failure(
                    f"the archive may hold plain files only, but {name[:200]!r} is a link, a device"
                    " or encrypted; put the file itself in its place"
                )
            target = folder / _safe_name(name, failure)
            if len(paths) == MAX_MEMBERS:
                raise failure(
                    f"the archive holds more than {MAX_MEMBERS} files", code="archive_too_large"
                )
            _write(content, target, budget.spend, failure)
            paths.append(target)
    except BROKEN_ARCHIVE as error:
        raise failure("the archive is damaged and cannot be unpacked; upload it again") from error
    return sorted(paths)


class _Budget:
    """Counts unpacked bytes against the limits."""

    def __init__(self, packed_bytes: int, limits: UnpackLimits, failure: type[EngineError]) -> None:
        self._limits = limits
        self._failure = failure
        self._unpacked = 0
        ratio_bytes = int(packed_bytes * limits.max_unpacked_ratio)
        self._ratio_bytes = max(ratio_bytes, RATIO_APPLIES_FROM_BYTES)

    def spend(self, count: int) -> None:
        """Add to the unpacked bytes."""
        self._unpacked += count
        if self._unpacked > self._limits.max_unpacked_bytes:
            raise self._failure(
                f"the archive unpacks to more than {self._limits.max_unpacked_bytes} bytes",
                code="archive_too_large",
            )
        if self._unpacked > self._ratio_bytes:
            raise self._failure(
                f"the archive unpacks to more than {self._limits.max_unpacked_ratio:g} times its "
                "size",
                code="archive_too_large",
            )


def _members(archive: Path) -> Iterator[Member]:
    """Yield what an archive holds, without folders and the shadow files that macOS adds."""
    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    for name, content in members(archive):
        if not name.startswith("__MACOSX/") and not name.endswith(".DS_Store"):
            yield name, content


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if not info.filename:
                raise zipfile.BadZipFile("a member has no name")
            if info.is_dir():
                continue
            kind = stat.S_IFMT(info.external_attr >> 16)
            is_encrypted = info.flag_bits & 0x1
            if kind not in {0, stat.S_IFREG} or is_encrypted:
                yield info.filename, None
                continue
            with file.open(info) as content:
                yield info.filename, content


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as file:
        for member in file:
            if not member.isdir():
                is_plain = member.isreg() and not member.issparse()
                yield member.name, file.extractfile(member) if is_plain else None


def _safe_name(name: str, failure: type[EngineError]) -> PurePosixPath:
    """Return a member's path if it stays inside the folder it is unpacked to."""
    path = PurePosixPath(name)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name
    if unsafe or not path.parts or len(path.parts) > MAX_FOLDERS_DEEP:
        raise failure(
            f"the archive's member {name[:200]!r} has a path that is not allowed; give each file a "
            "short one relative to the archive"
        )
    return path


def _write(
    content: IO[bytes], target: Path, spend: Callable[[int], None], failure: type[EngineError]
) -> None:
    """Copy one member, counting while reading."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        output = target.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        message = f"the archive holds {target.name!r} twice, or under a file as if under a folder"
        raise failure(message) from error
    except OSError as error:
        raise failure(f"the archive's member {target.name[:200]!r} has too long a name") from error
    with output:
        while chunk := content.read(CHUNK_BYTES):
            spend(len(chunk))
            output.write(chunk)
