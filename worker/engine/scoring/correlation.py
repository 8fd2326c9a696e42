"""Correlation of an output, or of the similarity of pairs of embeddings, with labels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator
from typing_extensions import override

from worker.engine.scoring.base import (
    MAX_KEPT_VALUES,
    Answer,
    Floats,
    Metric,
    MisfitError,
    Name,
    Scored,
    Tally,
    Unit,
    finite,
)
from worker.engine.scoring.differences import cosines
from worker.engine.scoring.ranking import tie_starts

Positions = npt.NDArray[np.int64]


class Correlation(Metric, ABC):
    """How well an output, or the cosine of pairs of embeddings, follows the labels."""

    pairs: Literal["consecutive", "all", "outputs"] | None = None
    """What is compared with the labels. Left out: the output's one value for each sample. Else the
    cosine of two embeddings: `consecutive` takes samples 0 and 1, 2 and 3, ..., and the first one's
    label; `all` takes every two samples, and `labels[i, j]` with i < j; `outputs` takes `output`
    and `second_output` of one sample."""
    second_output: Name | None = None
    """The other output, for `outputs`."""
    pool: Literal["first", "mean"] | None = None
    """How embeddings of tokens, (samples, tokens, values), become one for each sample."""

    ignore: float | None = None
    """Samples or pairs with this label, or nothing but it, are not scored."""

    unit: ClassVar[Unit] = "correlation"
    undefined: ClassVar[str] = "it needs at least two samples or pairs with different labels"

    @model_validator(mode="after")
    def _check_outputs(self) -> Self:
        if (self.pairs == "outputs") != (self.second_output is not None):
            raise ValueError('pairs: "outputs" goes with second_output, and only with it')
        return self

    @override
    def other_output(self) -> str | None:
        """Return the second output of a pair."""
        return self.second_output

    @override
    def start(self) -> "PairTally":
        """Return a tally without runs."""
        return PairTally(self)

    @abstractmethod
    def correlate(self, left: Floats, right: Floats, weights: Floats) -> float:
        """Return the correlation of two series whose entries count `weights` times."""

    def embeddings(self, output: npt.NDArray[np.generic], count: int) -> Floats:
        """Return one row for each of `count` samples.

        Raises:
            MisfitError: the output is not made of them.
        """
        values = finite(output)
        if self.pool is not None:
            if values.ndim != 3 or values.shape[1] == 0:
                raise MisfitError("`pool` needs an output of (samples, tokens, values)")
            values = values[:, 0] if self.pool == "first" else values.mean(axis=1)
        if values.size == 0 or values.size % count:
            raise MisfitError(f"its {values.size} values are not those of {count} samples")
        return values.reshape(count, -1)


class Spearman(Correlation):
    """Spearman's rank correlation with the labels; ties share their mean rank."""

    metric: Literal["spearman"] = "spearman"

    @override
    def correlate(self, left: Floats, right: Floats, weights: Floats) -> float:
        """Return Pearson's correlation of the ranks."""
        return weighted_pearson(
            weighted_ranks(left, weights), weighted_ranks(right, weights), weights
        )


class Pearson(Correlation):
    """Pearson's linear correlation with the labels."""

    metric: Literal["pearson"] = "pearson"

    @override
    def correlate(self, left: Floats, right: Floats, weights: Floats) -> float:
        """Return Pearson's correlation."""
        return weighted_pearson(left, right, weights)


class PairTally(Tally):
    """Each value and its label or, for `all` pairs, each embedding and its row of labels."""

    def __init__(self, metric: Correlation) -> None:
        self._metric = metric
        self._values: list[Floats] = []
        self._labels: list[Floats] = []
        self._numbers: list[int] = []
        self._kept = 0
        self._waiting: tuple[int, Floats, float] | None = None

    @override
    def add(self, answer: Answer) -> None:
        """Take in one run."""
        labels = finite(answer.labels)
        rows = self._metric.embeddings(answer.output, len(labels))
        match self._metric.pairs:
            case "all":
                self._add_members(rows, labels, answer.number)
            case "consecutive":
                self._add_consecutive(rows, _one_each(labels), answer.number)
            case "outputs":
                if answer.other is None:
                    raise MisfitError("the second output is missing")
                others = self._metric.embeddings(answer.other, len(labels))
                if others.shape != rows.shape:
                    raise MisfitError("the second output's embeddings have another length")
                self._keep_counted(cosines(rows, others), _one_each(labels))
            case None:
                if rows.shape[1] != 1:
                    raise MisfitError(
                        f"it has {rows.shape[1]} values for a sample: `pairs` compares embeddings"
                    )
                self._keep_counted(rows[:, 0], _one_each(labels))

    @override
    def finish(self) -> "PairScored":
        """Return the series to correlate, and the samples that each entry comes from."""
        if not self._values:
            return PairScored(self._metric, _Series(np.zeros(0), np.zeros(0)), 0)
        if self._metric.pairs == "all":
            return PairScored(self._metric, self._all_pairs(), len(self._numbers))
        series = _Series(np.concatenate(self._values), np.concatenate(self._labels))
        return PairScored(self._metric, series, len(series.values))

    def _keep(self, values: Floats, labels: Floats) -> None:
        self._kept += values.size
        if self._kept > MAX_KEPT_VALUES:
            raise MisfitError(f"over {MAX_KEPT_VALUES} values to keep: use `max_samples`")
        self._values.append(values)
        self._labels.append(labels)

    def _keep_counted(self, values: Floats, labels: Floats) -> None:
        counted = labels != self._metric.ignore
        self._keep(values[counted], labels[counted])

    def _add_members(self, rows: Floats, labels: Floats, number: int) -> None:
        labels = labels.reshape(len(labels), -1)
        if np.all(labels == self._metric.ignore):
            return
        if self._labels and labels.shape[1] != self._labels[0].shape[1]:
            raise MisfitError("the rows of `labels` differ in length")
        if labels.shape[1] ** 2 > MAX_KEPT_VALUES:
            raise MisfitError(f"{labels.shape[1]} samples have too many pairs")
        if number + len(rows) > labels.shape[1]:
            raise MisfitError(
                f"sample {number + len(rows) - 1} has no column in `labels`, whose rows have"
                f" {labels.shape[1]}"
            )
        self._kept += rows.size
        self._keep(rows, labels)
        self._numbers += range(number, number + len(rows))

    def _add_consecutive(self, rows: Floats, labels: Floats, number: int) -> None:
        for place, (row, label) in enumerate(zip(rows, labels, strict=True), start=number):
            waiting = self._waiting
            if place % 2 == 0:
                self._waiting = (place, row, float(label))
            elif waiting is not None and waiting[0] == place - 1:
                if waiting[1].shape != row.shape:
                    raise MisfitError("the embeddings of a pair differ in length; see `pool`")
                pair = cosines(waiting[1][np.newaxis], row[np.newaxis])
                self._keep_counted(pair, np.array([waiting[2]]))

    def _all_pairs(self) -> "_Series":
        if len({rows.shape[1] for rows in self._values}) > 1:
            raise MisfitError("the embeddings differ in length from sample to sample; see `pool`")
        rows, labels = np.concatenate(self._values), np.concatenate(self._labels)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
        left, right = np.triu_indices(len(rows), 1)
        columns = np.array(self._numbers)[right]
        return _Series((rows @ rows.T)[left, right], labels[left, columns], left, right)


@dataclass(frozen=True)
class _Series:
    """Values and labels; of pairs of samples, which two."""

    values: Floats
    labels: Floats
    left: Positions | None = None
    right: Positions | None = None


class PairScored(Scored):
    """Values and labels to correlate."""

    def __init__(self, metric: Correlation, series: _Series, samples: int) -> None:
        self._metric = metric
        self._series = series
        self.samples = samples
        self.is_constant = bool(np.all(series.values == series.values[:1]))

    @property
    @override
    def cost(self) -> int:
        """How many numbers one call of `score` looks at: both series are sorted."""
        return 30 * self._series.values.size

    @override
    def score(self, weights: Floats) -> float:
        """Return the correlation; a pair counts as often as both its samples together."""
        series = self._series
        if series.left is not None and series.right is not None:
            weights = weights[series.left] * weights[series.right]
        kept = weights > 0
        values, labels, weights = series.values[kept], series.labels[kept], weights[kept]
        if len(set(labels[:1]) | set(labels[labels != labels[:1]][:1])) < 2:
            return float("nan")
        return self._metric.correlate(values, labels, weights)


def weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Return the mean rank of each value among all, each repeated `weights` times."""
    order = np.argsort(values, kind="stable")
    starts = tie_starts(values[order])
    sizes = np.add.reduceat(weights[order], starts)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    lengths = np.diff(np.append(starts, len(values)))
    result = np.empty(len(values))
    result[order] = np.repeat(ranks, lengths)
    return result


def weighted_pearson(left: Floats, right: Floats, weights: Floats) -> float:
    """Return Pearson's correlation; 0 where one series is constant."""
    left = left - np.average(left, weights=weights)
    right = right - np.average(right, weights=weights)
    spread = np.sqrt(np.sum(weights * left**2) * np.sum(weights * right**2))
    if spread == 0:
        return 0.0
    return float(np.clip(np.sum(weights * left * right) / spread, -1.0, 1.0))


def _one_each(labels: Floats) -> Floats:
    if labels.size != len(labels):
        raise MisfitError(f"{labels.size} labels are not one for each of {len(labels)} samples")
    return labels.reshape(-1)
