"""Finding things by their embeddings: whether the nearest of a collection is the right one."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from worker.engine.scoring.base import (
    MAX_KEPT_VALUES,
    Answer,
    Floats,
    Metric,
    MisfitError,
    SumScored,
    Tally,
    finite,
    ratio,
)

BLOCK_VALUES = 2**22
"""Of the distances that are worked out at a time."""


class NearestLabel(Metric):
    """The share of queries whose nearest entry of a collection has the query's label.

    Labels are (samples, 2): what the sample is of, as a number, and 1 for a query or 0 for an entry
    of the collection.
    """

    metric: Literal["nearest_label"] = "nearest_label"
    distance: Literal["euclidean", "cosine"] = "euclidean"
    """How nearness of embeddings is measured."""

    undefined: ClassVar[str] = "there is no query, or no entry to find"

    @override
    def start(self) -> "NearestTally":
        """Return a tally without runs."""
        return NearestTally(self)


class NearestTally(Tally):
    """Each embedding and its labels."""

    def __init__(self, metric: NearestLabel) -> None:
        self._metric = metric
        self._rows: list[Floats] = []
        self._labels: list[Floats] = []
        self._kept = 0

    @override
    def add(self, answer: Answer) -> None:
        """Take in one run."""
        labels, values = finite(answer.labels), finite(answer.output)
        count = len(labels)
        if labels.shape != (count, 2):
            raise MisfitError(f"labels of shape {labels.shape} are not (samples, 2)")
        if values.size == 0 or values.size % count:
            raise MisfitError(f"its {values.size} values are not those of {count} samples")
        rows = values.reshape(count, -1)
        if self._rows and self._rows[0].shape[1] != rows.shape[1]:
            raise MisfitError("the embeddings differ in length from sample to sample")
        self._kept += rows.size
        if self._kept > MAX_KEPT_VALUES:
            raise MisfitError(f"over {MAX_KEPT_VALUES} values to keep: use `max_samples`")
        self._rows.append(rows)
        self._labels.append(labels)

    @override
    def finish(self) -> SumScored:
        """Return for each query whether the nearest entry is right, and one."""
        if not self._rows:
            return SumScored(np.zeros((0, 2)), _share)
        rows, labels = np.concatenate(self._rows), np.concatenate(self._labels)
        if self._metric.distance == "cosine":
            lengths = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        is_query = labels[:, 1] == 1
        queries, entries = rows[is_query], rows[~is_query]
        if not len(entries):
            return SumScored(np.zeros((0, 2)), _share)
        nearest = nearest_entries(queries, entries)
        hits = labels[~is_query, 0][nearest] == labels[is_query, 0]
        return SumScored(np.stack([hits, np.ones(len(hits))], axis=1), _share)


def nearest_entries(queries: Floats, entries: Floats) -> npt.NDArray[np.intp]:
    """Return the place of the entry at the least Euclidean distance from each query."""
    block = max(1, BLOCK_VALUES // entries.size)
    found = [
        np.square(queries[start : start + block, np.newaxis] - entries).sum(axis=2).argmin(axis=1)
        for start in range(0, len(queries), block)
    ]
    return np.concatenate([np.zeros(0, np.intp), *found])


def _share(sums: Floats) -> float:
    return ratio(sums[0], sums[1])
