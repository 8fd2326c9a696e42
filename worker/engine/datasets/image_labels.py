"""The labels of an image dataset: a table of classes, or arrays such as masks and boxes."""

import csv
import io
import zipfile
from collections.abc import Iterator

import numpy as np

from worker.engine.datasets.archive import reading
from worker.engine.datasets.npz import NpzFile
from worker.engine.datasets.rows import LABELS
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import ArrayInfo
from worker.engine.samples import Array, Feeds

TABLE_NAME = "labels.csv"
ARRAYS_NAME = "labels.npz"
MAX_ARRAYS_BYTES = 2**28
"""Of `labels.npz`, which is held in memory while it is read, and of what it unpacks to."""


class ImageLabels:
    """One label for each image from `labels.csv` (file,label), or arrays from `labels.npz`.

    The first axis of the arrays counts the images in the order of their file names.
    """

    def __init__(self, archive: zipfile.ZipFile, images: list[str]) -> None:
        names = set(archive.namelist())
        self._count = len(images)
        self._table = _read_labels(archive, images) if TABLE_NAME in names else None
        self._has_arrays = ARRAYS_NAME in names
        self._headers = _open_arrays(archive, self._count).headers if self._has_arrays else {}
        if self._table is not None and LABELS in self._headers:
            raise InvalidDatasetError(f'{TABLE_NAME} and {ARRAYS_NAME} both hold "{LABELS}"')

    @property
    def has_labels(self) -> bool:
        """Whether there are labels of the usual name."""
        return self._table is not None or LABELS in self._headers

    def fields(self, image_input: str) -> list[ArrayInfo]:
        """Return the arrays of other names; none may have that of the images' input."""
        if image_input in self._headers:
            raise InvalidDatasetError(f'{ARRAYS_NAME} holds "{image_input}", which the images feed')
        return [
            header.describe(list(header.shape[1:]))
            for name, header in self._headers.items()
            if name != LABELS
        ]

    def rows(self, archive: zipfile.ZipFile) -> Iterator[Feeds]:
        """Yield what labels each image, by name."""
        file = _open_arrays(archive, self._count) if self._has_arrays else None
        readers = {} if file is None else {name: file.rows(name) for name in file.headers}
        for index in range(self._count):
            labels = {name: next(reader) for name, reader in readers.items()}
            if self._table is not None:
                labels[LABELS] = self._table[index]
            yield labels


def _open_arrays(archive: zipfile.ZipFile, count: int) -> NpzFile:
    too_large = f"{ARRAYS_NAME} is larger than {MAX_ARRAYS_BYTES} bytes"
    if archive.getinfo(ARRAYS_NAME).file_size > MAX_ARRAYS_BYTES:
        raise InvalidDatasetError(too_large)
    with reading(ARRAYS_NAME):
        member = zipfile.ZipFile(io.BytesIO(archive.read(ARRAYS_NAME)))
    if sum(info.file_size for info in member.infolist()) > MAX_ARRAYS_BYTES:
        raise InvalidDatasetError(too_large)
    file = NpzFile(member, ARRAYS_NAME)
    for name, header in file.headers.items():
        if not header.shape or header.shape[0] != count:
            raise InvalidDatasetError(
                f'"{name}" of {ARRAYS_NAME} has the shape {header.shape}, and there are {count}'
                " images: its first axis counts them in the order of their file names"
            )
    return file


def _read_labels(archive: zipfile.ZipFile, names: list[str]) -> Array:
    """Return the label of each image, from the columns `file` and `label`."""
    with reading(TABLE_NAME):
        labels = _parse_labels(archive.read(TABLE_NAME).decode("utf-8-sig"))
    missing = next((name for name in names if not labels.get(name)), None)
    if missing is not None:
        raise InvalidDatasetError(f'{TABLE_NAME} has no label for "{missing}"')
    values = np.array([labels[name] for name in names])
    for dtype in (np.int64, np.float64):
        try:
            return values.astype(dtype)
        except (ValueError, OverflowError):
            continue
    raise InvalidDatasetError(f"{TABLE_NAME} has labels that are not numbers: use class indices")


def _parse_labels(text: str) -> dict[str, str | None]:
    """Return what the columns say of each file; a line may end before its label."""
    labels: dict[str, str | None] = {}
    try:
        table = csv.DictReader(io.StringIO(text))
        if not {"file", "label"} <= set(table.fieldnames or ()):
            raise InvalidDatasetError(f"{TABLE_NAME} needs a header line: file,label")
        for line in table:
            if line["file"] in labels:
                raise InvalidDatasetError(f'{TABLE_NAME} has two lines for "{line["file"]}"')
            labels[line["file"]] = line["label"]
    except csv.Error as error:
        raise InvalidDatasetError(f"{TABLE_NAME} is no readable table: {error}") from error
    return labels
