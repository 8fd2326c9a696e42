"""Zip archives of samples: opened with their limits checked, read without unpacking."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import UnpackLimits

MAX_MEMBERS = 1_000_000
ALWAYS_ALLOWED_BYTES = 64 * 2**20
"""An archive that unpacks to less than this may be packed at any ratio."""


def check_archive(path: Path, limits: UnpackLimits) -> list[str]:
    """Return the names of the files in a dataset's zip file, once it is known to be safe to read.

    Raises:
        InvalidDatasetError: it is no zip file, is encrypted, or unpacks to more than the limits.
    """
    if not zipfile.is_zipfile(path):
        raise InvalidDatasetError(
            "the dataset is no zip file, or is cut off: send a .npz (numpy.savez makes one), a .zip"
            " of .npz files, or a .zip of images"
        )
    with reading("the dataset"), zipfile.ZipFile(path) as archive:
        names, members = member_names(archive), archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise InvalidDatasetError(f"the archive has over {MAX_MEMBERS} members")
    unpacked = sum(member.file_size for member in members)
    packed = max(1, path.stat().st_size)
    if unpacked > limits.max_unpacked_bytes:
        raise InvalidDatasetError(
            f"the dataset unpacks to {unpacked} bytes, over the limit of"
            f" {limits.max_unpacked_bytes}: use fewer samples",
            code="archive_too_large",
        )
    if unpacked > max(ALWAYS_ALLOWED_BYTES, packed * limits.max_unpacked_ratio):
        raise InvalidDatasetError(
            f"the dataset unpacks to {unpacked / packed:.0f} times its packed size, over the limit"
            f" of {limits.max_unpacked_ratio:g}: store it with less compression",
            code="archive_too_large",
        )
    return names


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the files in an archive, sorted, without what desktops add.

    Raises:
        InvalidDatasetError: a name is empty or occurs twice.
    """
    if not all(member.filename for member in archive.infolist()):
        raise InvalidDatasetError("the archive has a member without a name")
    names = sorted(
        member.filename
        for member in archive.infolist()
        if not member.is_dir() and not _is_clutter(member.filename)
    )
    twice = next((one for one, other in pairwise(names) if one == other), None)
    if twice is not None:
        raise InvalidDatasetError(f'the archive has two members named "{twice}"')
    return names


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the ways in which reading a zip file or an array fails into one clear error."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InvalidDatasetError(f"{what} cannot be read: {error}") from error
    except RuntimeError as error:
        raise InvalidDatasetError(f"{what} cannot be read: the archive is encrypted") from error
    except OSError as error:  # a member is said to lie before the file's beginning
        raise InvalidDatasetError(f"{what} cannot be read: the archive is damaged") from error


def _is_clutter(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or parts[-1] in {".DS_Store", "Thumbs.db"}
