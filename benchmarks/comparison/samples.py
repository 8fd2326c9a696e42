"""Calibration files: a dataset as onnxpress takes it, read by every engine (needs numpy only)."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

Feeds = dict[str, npt.NDArray[np.generic]]


def save_feeds(feeds: list[Feeds], folder: Path, name: str) -> Path:
    """Write `NAME.npz` of stacked samples or, where they are ragged or stateful, `NAME.zip`."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = [{key: array.shape for key, array in each.items()} for each in feeds]
    first = shapes[0]
    if all(each == first for each in shapes) and all(s[:1] == (1,) for s in first.values()):
        path = folder / f"{name}.npz"
        np.savez(path, **{key: np.concatenate([each[key] for each in feeds]) for key in first})
        return path
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, each in enumerate(feeds):
            content = io.BytesIO()
            np.savez(content, **each)
            archive.writestr(f"{number:06d}.npz", content.getvalue())
    return path


def find_feeds(folder: Path, name: str) -> Path | None:
    """Return the file that `save_feeds` wrote under this name, None where there is none."""
    paths = (folder / f"{name}{suffix}" for suffix in (".npz", ".zip"))
    return next((path for path in paths if path.exists()), None)


def read_feeds(path: Path) -> Iterator[Feeds]:
    """Yield one run's feeds after another."""
    if path.suffix == ".npz":
        with np.load(path) as stacked:
            arrays = {key: stacked[key] for key in stacked.files}
        for row in range(len(next(iter(arrays.values())))):
            yield {key: array[row : row + 1] for key, array in arrays.items()}
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            with np.load(io.BytesIO(archive.read(name))) as member:
                yield {key: member[key] for key in member.files}
