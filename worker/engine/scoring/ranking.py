"""Area under the ROC curve."""

from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from worker.engine.samples import Array
from worker.engine.scoring.alignment import ValueMetric
from worker.engine.scoring.base import (
    MAX_KEPT_VALUES,
    Answer,
    Floats,
    MisfitError,
    Scored,
    Tally,
    ratio,
)


class AreaUnderCurve(ValueMetric):
    """The chance that a positive is scored above a negative, ties counting half (ROC AUC)."""

    metric: Literal["auc"] = "auc"

    undefined: ClassVar[str] = "it needs labels of both kinds, 0 and 1"

    @override
    def start(self) -> "CurveTally":
        """Return a tally without runs."""
        return CurveTally(self)


class CurveTally(Tally):
    """Each value, whether it should be high, and the sample it is of."""

    def __init__(self, metric: AreaUnderCurve) -> None:
        self._metric = metric
        self._values: list[Floats] = []
        self._truth: list[Array] = []
        self._samples: list[Array] = []
        self._count = self._kept = 0

    @override
    def add(self, answer: Answer) -> None:
        """Take in one run."""
        aligned = self._metric.values(answer)
        counted = aligned.counted
        self._kept += int(counted.sum())
        if self._kept > MAX_KEPT_VALUES:
            raise MisfitError(
                f"over {MAX_KEPT_VALUES} values to rank: use `reduce` or `max_samples`"
            )
        self._values.append(aligned.values[counted])
        self._truth.append(aligned.truth[counted])
        numbers = np.arange(self._count, self._count + len(counted))
        self._samples.append(np.repeat(numbers, counted.sum(axis=1)))
        self._count += len(counted)

    @override
    def finish(self) -> "CurveScored":
        """Return the values in order."""
        if not self._values:
            return CurveScored(0, np.zeros(0), np.zeros(0, bool), np.zeros(0, np.int64))
        return CurveScored(
            self._count,
            np.concatenate(self._values),
            np.concatenate(self._truth),
            np.concatenate(self._samples),
        )


class CurveScored(Scored):
    """All values in ascending order, in groups of ties."""

    def __init__(self, samples: int, values: Floats, truth: Array, owners: Array) -> None:
        self.samples = samples
        order = np.argsort(values, kind="stable")
        self._truth = truth[order].astype(np.float64)
        self._owners = owners[order]
        self._starts = tie_starts(values[order])

    @property
    @override
    def cost(self) -> int:
        """How many numbers one call of `score` looks at."""
        return 4 * self._truth.size

    @override
    def score(self, weights: Floats) -> float:
        """Return the weighted share of pairs in the right order (Mann and Whitney's U)."""
        if self._truth.size == 0:
            return float("nan")
        each = weights[self._owners]
        positive = np.add.reduceat(each * self._truth, self._starts)
        negative = np.add.reduceat(each * (1 - self._truth), self._starts)
        below = np.cumsum(negative) - negative
        pairs = float(positive.sum() * negative.sum())
        return ratio(float(np.sum(positive * (below + negative / 2))), pairs)


def tie_starts(ordered: Floats) -> npt.NDArray[np.intp]:
    """Return where each group of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
