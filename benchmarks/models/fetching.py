"""Fetching files out of wheels: nothing is installed, and each file is checked."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.models.sources import Source


class FetchError(Exception):
    """A file could not be had, or is not the one that was meant."""


def fetch(sources: Sequence[Source], folder: Path) -> list[Source]:
    """Bring the files that are missing or damaged; return those that were fetched.

    Raises:
        FetchError: a package cannot be downloaded, or a file in it is another one.
    """
    missing = [source for source in sources if not _is_there(source, folder)]
    for requirement, members in groupby(missing, key=lambda source: source.requirement):
        with tempfile.TemporaryDirectory() as scratch:
            wheel = _download(requirement, Path(scratch))
            for source in members:
                _extract(source, wheel, folder / source.file)
    return missing


def _is_there(source: Source, folder: Path) -> bool:
    path = folder / source.file
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == source.sha256


def _download(requirement: str, folder: Path) -> Path:
    """Have pip put one wheel into an empty folder."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
        "--only-binary=:all:", "--dest", str(folder), requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = (done.stderr.strip().splitlines() or ["pip gave no wheel"])[-1]
        raise FetchError(f"pip cannot download {requirement}: {reason}")
    return wheels[0]


def _extract(source: Source, wheel: Path, target: Path) -> None:
    """Copy a member out; the target appears once its digest is right."""
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(source.member)
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise FetchError(f"{source.member} of {source.requirement} is not the file that was meant")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f"{target.suffix}.part")
    partial.write_bytes(content)
    partial.replace(target)
