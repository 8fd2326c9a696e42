"""The folders in which jobs leave what later jobs over the same model can use.

A model's row belongs to one workspace, so a folder named by its id is never shared between two. The
children that write there are not trusted: nothing here reads a file, follows a link or believes
a name.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from app.folders import remove_folder
from app.settings import Settings
from app.storage import Storage

FOLDER = "cache"
REMOVED = "removed-"


class CacheFolders:
    """One folder for each model, on this host; those used least recently are removed first."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._max_bytes = settings.cache_max_bytes
        self._root = storage.spool().parent / FOLDER

    def take(self, model_id: str) -> str | None:
        """Return a model's folder, now the one used last; None where nothing is to be kept."""
        if not self._max_bytes:
            return None
        folder = self._root / model_id
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.utime(folder)
        except OSError:  # a full disk, or another worker removes it right now
            return None
        return str(folder)

    def models(self) -> list[str]:
        """Return the ids of the models that have a folder."""
        return [folder.name for folder in self._folders() if not folder.name.startswith(REMOVED)]

    def remove(self, model_id: str) -> None:
        """Remove a model's folder; a job that is using it only loses what it would have kept."""
        self._remove(self._root / model_id)

    def evict(self) -> None:
        """Remove folders until the rest is within the limit."""
        found = []
        for folder in self._folders():
            if folder.name.startswith(REMOVED):  # by a worker that then went away
                remove_folder(folder)
                continue
            try:
                found.append((folder.lstat().st_mtime, _size_bytes(folder), folder))
            except OSError:  # closed, or with folders inside: nothing that a next job can use
                self._remove(folder)
        total = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if total <= self._max_bytes:
                break
            self._remove(folder)
            total -= size

    def _folders(self) -> Iterator[Path]:
        try:
            yield from list(self._root.iterdir())
        except FileNotFoundError:
            return

    def _remove(self, folder: Path) -> None:
        """Remove a folder that two workers may be removing and a third making again."""
        grave = self._root / f"{REMOVED}{uuid4().hex}"
        with suppress(OSError):
            folder.rename(grave)
            remove_folder(grave)


def _size_bytes(folder: Path) -> int:
    """Return what the files in a folder take on the disk.

    Raises:
        OSError: it cannot be read, or has folders in it, which the engine never makes.
    """
    size_bytes = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                raise IsADirectoryError(entry.path)
            with suppress(FileNotFoundError):  # a job at work has renamed it
                size_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
    return size_bytes
