"""A `.zip` of `.npz` files: each one run's feeds, for ragged or stateful inputs."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from worker.engine.datasets.archive import member_names, reading
from worker.engine.datasets.npz import ArrayHeader, NpzFile
from worker.engine.datasets.rows import LABELS, Row
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import DatasetInfo

MAX_RUN_BYTES = 2**30
"""Of one member, which is held in memory while it is read."""


class NpzArchiveDataset:
    """Runs in the order of their file names; each holds all arrays, and labels or not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._names = member_names(archive)
            headers = _open_run(archive, self._names[0]).headers
            shapes: dict[str, list[int | None]] = {
                name: list(header.shape) for name, header in headers.items()
            }
            for name in self._names[1:]:
                other = _open_run(archive, name).headers
                _merge_shapes(shapes, headers, other, PurePosixPath(name).name)
        self.info = DatasetInfo(
            format="npz_archive",
            sample_count=len(self._names),
            arrays=[
                header.describe(shapes[name]) for name, header in headers.items() if name != LABELS
            ],
            has_labels=LABELS in headers,
        )

    def rows(self) -> Iterator[Row]:
        """Yield each run's feeds, in the order of their file names."""
        with zipfile.ZipFile(self._path) as archive:
            for name in self._names:
                file = _open_run(archive, name)
                arrays = {key: file.array(key) for key in file.headers}
                yield Row(PurePosixPath(name).name, arrays, arrays.pop(LABELS, None))


def _open_run(archive: zipfile.ZipFile, name: str) -> NpzFile:
    if archive.getinfo(name).file_size > MAX_RUN_BYTES:
        raise InvalidDatasetError(f'"{name}" is larger than {MAX_RUN_BYTES} bytes')
    with reading(f'"{name}"'):
        member = zipfile.ZipFile(io.BytesIO(archive.read(name)))
    if sum(info.file_size for info in member.infolist()) > MAX_RUN_BYTES:
        raise InvalidDatasetError(f'"{name}" unpacks to more than {MAX_RUN_BYTES} bytes')
    return NpzFile(member, f'"{name}"')


def _merge_shapes(
    shapes: dict[str, list[int | None]],
    first: dict[str, ArrayHeader],
    other: dict[str, ArrayHeader],
    file_name: str,
) -> None:
    """Blank the dimensions in which a run differs from those before it."""
    if set(first) != set(other):
        raise InvalidDatasetError(
            f"{file_name} has the arrays {_listed(other)}, and the runs before it {_listed(first)}"
        )
    for name, header in other.items():
        kinds = {header.dtype.kind, first[name].dtype.kind}
        if header.dtype != first[name].dtype and not kinds <= {"U", "S"}:
            raise InvalidDatasetError(
                f'"{name}" of {file_name} is {header.dtype}, and {first[name].dtype} before it'
            )
        if len(header.shape) != len(shapes[name]):
            raise InvalidDatasetError(
                f'"{name}" of {file_name} has {len(header.shape)} axes, and {len(shapes[name])}'
                " in the runs before it"
            )
        shapes[name] = [
            known if known == size else None
            for known, size in zip(shapes[name], header.shape, strict=True)
        ]


def _listed(headers: dict[str, ArrayHeader]) -> str:
    return ", ".join(f'"{name}"' for name in sorted(headers))
