"""Bringing an output and its labels to the same shape: one value for each label."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from worker.engine.samples import Array
from worker.engine.scoring.base import Answer, Floats, Metric, MisfitError, finite

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Aligned:
    """Values, what they should be and which count, each (samples, labels of a sample)."""

    values: Floats
    truth: Booleans
    counted: Booleans


class ValueMetric(Metric):
    """A metric of one value for each label, such as a chance, a score or a mask's pixel."""

    axis: int = -1
    """The output's axis that `index` counts along."""
    index: int | None = None
    """Which entry along `axis` is meant, such as 1 for the second of two classes; left out, the
    output already has one value for each label."""
    reduce: Literal["max", "mean"] | None = None
    """How the many values of a sample become one, such as the highest of a heat map."""

    ignore: float | None = None
    """Labels of this value are not scored, such as 255 in masks."""

    def values(self, answer: Answer) -> "Aligned":
        """Return the values and what they should be.

        Raises:
            MisfitError: there is not one value for each label, or labels are not yes or no.
        """
        values, count = self.chosen(finite(answer.output)), len(answer.labels)
        if self.reduce is not None:
            if count == 0 or values.size % count or values.size == 0:
                raise MisfitError(f"its {values.size} values are not those of {count} samples")
            each = values.reshape(count, -1)
            values = each.max(axis=1) if self.reduce == "max" else each.mean(axis=1)
        if values.size != answer.labels.size:
            hint = "" if self.index is not None else "; `index` and `reduce` choose among them"
            raise MisfitError(f"it has {values.size} values for {answer.labels.size} labels{hint}")
        rows = answer.labels.reshape(count, -1)
        counted = np.ones(rows.shape, bool) if self.ignore is None else rows != self.ignore
        return Aligned(values.reshape(count, -1), as_truth(rows, counted), counted)

    def chosen(self, values: Floats) -> Floats:
        """Return the values at `index`, all of them where it is left out."""
        if self.index is None:
            return values
        if not -values.ndim <= self.axis < values.ndim:
            raise MisfitError(f"it has no axis {self.axis}")
        size = values.shape[self.axis]
        if not -size <= self.index < size:
            raise MisfitError(f"its axis {self.axis} has {size} entries and no entry {self.index}")
        return np.asarray(np.take(values, self.index, axis=self.axis))


def as_truth(labels: Array, counted: Booleans) -> Booleans:
    """Return labels of yes and no as booleans, those not counted as no.

    Raises:
        MisfitError: they hold something else.
    """
    if labels.dtype.kind not in "fiub" or not np.all((labels == 0) | (labels == 1) | ~counted):
        raise MisfitError("the labels are not all 0 or 1")
    return np.asarray((labels == 1) & counted)
