"""Classes: the share of samples whose right class is the best, or among the five best."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from worker.engine.samples import Array
from worker.engine.scoring.base import Answer, Floats, MisfitError, SummedMetric, ratio

DISCRETE_KINDS = "iubOSU"
TEXT_KINDS = "OSU"
Booleans = npt.NDArray[np.bool_]


class TopClasses(SummedMetric):
    """Right classes, each sample's share of them averaged over the samples.

    Labels are class numbers `(n,)` or `(n, 1)`, one-hot, or one class for each position of the
    output. An output of class numbers or text is compared as it is.
    """

    axis: int = -1
    """The output's axis of classes, such as 1 for `(batch, classes, height, width)`."""
    ignore: int | None = None
    """Labels of this class are not scored, such as -100 or 255."""

    def count(self) -> int:
        """Return among how many of the best classes the right one has to be."""
        return 1

    @override
    def sums(self, answer: Answer) -> Floats:
        """Return each sample's share of hits, and one; zeros where all of it is ignored."""
        count = len(answer.labels)
        hits, counted = (x.reshape(count, -1) for x in self._hits(answer.output, answer.labels))
        sizes = counted.sum(axis=1)
        shares = np.sum(hits & counted, axis=1) / np.maximum(sizes, 1)
        return np.stack([shares, sizes > 0], axis=1).astype(np.float64)

    @override
    def total(self, sums: Floats) -> float:
        """Return the mean share."""
        return ratio(sums[0], sums[1])

    def _hits(self, output: Array, labels: Array) -> tuple[Booleans, Booleans]:
        """Return which decisions are right, and which count."""
        if output.dtype.kind in DISCRETE_KINDS:
            if self.count() > 1 or output.size != labels.size:
                raise MisfitError("its values are classes, not one for each label")
            if (output.dtype.kind in TEXT_KINDS) != (labels.dtype.kind in TEXT_KINDS):
                raise MisfitError("of its values and the labels one is text and one is numbers")
            return np.asarray(output.reshape(labels.shape) == labels), self._counted(labels)
        values = self._classes_last(output)
        if values.shape[-1] <= self.count():
            raise MisfitError(
                f"it has {values.shape[-1]} classes, each of them among the {self.count()} best"
            )
        classes = self._right_classes(output, values, labels)
        best = np.argsort(-values.astype(np.float64), axis=-1, kind="stable")
        hits = np.any(best[..., : self.count()] == classes[..., np.newaxis], axis=-1)
        return np.asarray(hits), self._counted(classes)

    def _counted(self, classes: Array) -> Booleans:
        if self.ignore is None:
            return np.ones(classes.shape, bool)
        return np.asarray(classes != self.ignore)

    def _classes_last(self, output: Array) -> Array:
        if output.ndim < 2 or not -output.ndim <= self.axis < output.ndim:
            raise MisfitError(f"it has no axis {self.axis} of classes")
        if output.shape[self.axis] < 2 or output.dtype.kind != "f":
            raise MisfitError(f"its axis {self.axis} is no axis of class scores")
        return np.moveaxis(output, self.axis, -1)

    def _right_classes(self, output: Array, values: Array, labels: Array) -> Array:
        if labels.shape == output.shape:
            chances = np.moveaxis(labels, self.axis, -1)
            if np.any(chances.max(-1) == chances.min(-1)):
                raise MisfitError("a row of the labels is the same for every class")
            return np.asarray(chances.argmax(-1))
        if labels.size != values.size // values.shape[-1] or labels.dtype.kind not in "iub":
            raise MisfitError("the labels are not one class for each of its decisions")
        self._check_numbers(labels, values.shape[-1])
        return labels.reshape(values.shape[:-1])

    def _check_numbers(self, labels: Array, classes: int) -> None:
        counted = labels[self._counted(labels)].astype(np.int64)
        wrong = counted[(counted < 0) | (counted >= classes)]
        if wrong.size:
            raise MisfitError(
                f"label {wrong[0]} is none of its {classes} classes, which count from 0; `ignore`"
                " leaves out labels of one number"
            )


class Top1(TopClasses):
    """The share of right answers: the best class is the label."""

    metric: Literal["top1"] = "top1"


class Top5(TopClasses):
    """The share of samples whose label is among the five best classes."""

    metric: Literal["top5"] = "top5"

    @override
    def count(self) -> int:
        """Return five."""
        return 5
