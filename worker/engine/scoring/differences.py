"""How far numbers lie from the right ones: squared and absolute errors, cosine."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
from typing_extensions import override

from worker.engine.scoring.base import (
    Answer,
    Floats,
    MisfitError,
    SummedMetric,
    Unit,
    finite,
    ratio,
)


class MeanMetric(SummedMetric, ABC):
    """The mean over the samples of one number for each."""

    @override
    def sums(self, answer: Answer) -> Floats:
        """Return each sample's number, and one."""
        numbers = self.numbers(*_rows(answer))
        return np.stack([numbers, np.ones(len(numbers))], axis=1)

    @override
    def total(self, sums: Floats) -> float:
        """Return the mean."""
        return ratio(sums[0], sums[1])

    @abstractmethod
    def numbers(self, values: Floats, labels: Floats) -> Floats:
        """Return the number of each sample, of both as (samples, values)."""


class MeanSquaredError(MeanMetric):
    """The mean of (output - label)²."""

    metric: Literal["mean_squared_error"] = "mean_squared_error"

    unit: ClassVar[Unit] = "none"
    larger_is_better: ClassVar[bool] = False

    @override
    def numbers(self, values: Floats, labels: Floats) -> Floats:
        """Return each sample's mean squared error."""
        return np.asarray(np.mean(np.square(values - labels), axis=1))


class MeanAbsoluteError(MeanMetric):
    """The mean of abs(output - label)."""

    metric: Literal["mean_absolute_error"] = "mean_absolute_error"

    unit: ClassVar[Unit] = "none"
    larger_is_better: ClassVar[bool] = False

    @override
    def numbers(self, values: Floats, labels: Floats) -> Floats:
        """Return each sample's mean absolute error."""
        return np.asarray(np.mean(np.abs(values - labels), axis=1))


class MeanCosine(MeanMetric):
    """The mean cosine of embeddings and given ones of the same length."""

    metric: Literal["cosine"] = "cosine"

    unit: ClassVar[Unit] = "correlation"

    @override
    def numbers(self, values: Floats, labels: Floats) -> Floats:
        """Return each sample's cosine."""
        if not np.any(labels, axis=1).all():
            raise MisfitError("the labels of a sample are all 0, which is no direction")
        return cosines(values, labels)


def cosines(left: Floats, right: Floats) -> Floats:
    """Return the cosine of each row of one with that of the other; 0 where one is all zeros."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = np.sum(left * right, axis=1)
    return np.asarray(np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0))


def _rows(answer: Answer) -> tuple[Floats, Floats]:
    output, labels = answer.output, answer.labels
    if output.size != labels.size:
        raise MisfitError(f"it has {output.size} values for {labels.size} labels")
    if output.size == 0:
        raise MisfitError("it holds no values")
    count = len(labels)
    return finite(output).reshape(count, -1), finite(labels).reshape(count, -1)
