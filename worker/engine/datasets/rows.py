"""What every stored dataset is: a description, and rows in a fixed order."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import DatasetInfo
from worker.engine.samples import Array, Feeds

LABELS = "labels"
"""The reserved name of the array that holds the labels."""


@dataclass(frozen=True)
class Row:
    """One stored sample, as it lies in the dataset; `name` is how errors call it."""

    name: str
    arrays: Feeds
    labels: Array | None = None


class Dataset(Protocol):
    """An uploaded dataset, not yet fitted to a model."""

    @property
    def info(self) -> DatasetInfo:
        """What it holds, known without reading all of it."""

    def rows(self) -> Iterator[Row]:
        """Yield the samples in a fixed order; each call starts again."""


def checked_rows(dataset: Dataset) -> Generator[Row, None, None]:
    """Yield a dataset's rows, of which there are some, each looked at for empty arrays and NaN.

    Raises:
        InvalidDatasetError: a row is malformed; the message names it.
    """
    if not dataset.info.arrays:
        raise InvalidDatasetError("the dataset has no arrays: give one for each input of the model")
    if dataset.info.sample_count == 0:
        raise InvalidDatasetError("the dataset has no samples")
    for row in dataset.rows():
        _refuse_empty(row, some_may_be=dataset.info.format == "npz_archive")
        for name, array in row.arrays.items():
            _refuse_nan(name, array, row)
        if row.labels is not None:
            _refuse_nan(LABELS, row.labels, row)
        yield row


def _refuse_empty(row: Row, *, some_may_be: bool) -> None:
    """Refuse arrays without values; a run may have some, as a decoder's past in its first step."""
    empty = [name for name, array in row.arrays.items() if array.size == 0]
    if empty and (not some_may_be or len(empty) == len(row.arrays)):
        raise InvalidDatasetError(
            f'"{empty[0]}" of {row.name} has the shape {row.arrays[empty[0]].shape} and holds no'
            " values"
        )


def _refuse_nan(name: str, array: Array, row: Row) -> None:
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InvalidDatasetError(
            f'"{name}" of {row.name} has {int(np.isnan(array).sum())} values that are not a number'
        )
