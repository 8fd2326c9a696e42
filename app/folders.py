"""Removing folders that a child filled, who may have made that hard."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def remove_folder(folder: Path) -> None:
    """Remove a folder, or as much of it as can be; no link is followed.

    Other than `shutil.rmtree`, it stands folders that are closed to their owner, and any depth of
    them: what lies deeper is moved up first.
    """
    with suppress(OSError):
        folder.chmod(0o700)
        with _opened(folder) as top:
            _empty(top, top)
            while names := os.listdir(top):  # noqa: PTH208 - a descriptor has no path
                for name in names:
                    with _opened(name, top) as below:
                        _empty(below, top)
                    os.rmdir(name, dir_fd=top)
        folder.rmdir()


def _empty(folder: int, top: int) -> None:
    """Remove the files in an open folder, and move the folders in it to the top one."""
    with os.scandir(folder) as found:
        entries = list(found)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.name, 0o700, dir_fd=folder)
            os.rename(entry.name, uuid4().hex, src_dir_fd=folder, dst_dir_fd=top)
        else:
            os.unlink(entry.name, dir_fd=folder)


@contextmanager
def _opened(folder: Path | str, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(folder, _OPEN, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
