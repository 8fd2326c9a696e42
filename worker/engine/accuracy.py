"""Scores on labelled samples, of the original and the compressed model side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.engine.errors import InvalidDatasetError
from worker.engine.outputs import as_array
from worker.engine.report.quality import Score
from worker.engine.samples import Array
from worker.engine.spec import MetricName

DISCRETE_KINDS = "iubOSU"


@dataclass
class Scorer:
    """Running sums of one metric for both models."""

    metric: MetricName
    output: str
    position: int
    samples: int = 0
    before: float = 0.0
    after: float = 0.0

    def add(self, reference: Sequence[object], answer: Sequence[object], labels: Array) -> None:
        """Take in one run's outputs of both models."""
        self.samples += len(labels)
        self.before += self._points(as_array(reference[self.position]), labels)
        self.after += self._points(as_array(answer[self.position]), labels)

    def result(self) -> Score:
        """Return the mean over all samples so far."""
        return Score(
            metric=self.metric,
            output=self.output,
            samples=self.samples,
            before=self.before / max(1, self.samples),
            after=self.after / max(1, self.samples),
            larger_is_better=self.metric != "mean_squared_error",
        )

    def _points(self, values: Array, labels: Array) -> float:
        """Return the sum over samples of their share of hits, or of their mean squared error."""
        if self.metric == "mean_squared_error":
            error = values.astype(np.float64).reshape(len(labels), -1) - labels.astype(
                np.float64
            ).reshape(len(labels), -1)
            return float(np.sum(np.mean(error**2, axis=1)))
        classes = class_labels(labels, values)
        if values.dtype.kind in DISCRETE_KINDS:
            hits = values.reshape(classes.shape) == classes
        else:
            best = np.argsort(-values.astype(np.float64), axis=-1, kind="stable")
            best = best[..., : _count(self.metric)]
            hits = np.any(best == classes[..., np.newaxis], axis=-1)
        return float(np.sum(np.mean(hits.reshape(len(labels), -1), axis=1)))


def class_labels(labels: Array, values: Array) -> Array:
    """Return labels as one class for each decision that an output takes.

    Labels may be `(n,)`, `(n, 1)`, one-hot, or one class for each position of the output.
    """
    decided = values.shape if values.dtype.kind in DISCRETE_KINDS else values.shape[:-1]
    if labels.shape == values.shape and values.ndim >= 2 and values.dtype.kind == "f":
        return np.asarray(labels.argmax(-1))
    return labels.reshape(decided)


def fits(metric: MetricName, values: Array, labels: Array) -> bool:
    """Return whether an output can be scored by a metric against labels of this shape."""
    if metric == "mean_squared_error":
        return (
            values.dtype.kind in "fiu"
            and values.size == labels.size
            and labels.dtype.kind in "fiub"
        )
    if values.dtype.kind in DISCRETE_KINDS:
        return metric == "top1" and values.size == labels.size
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f":
        return False
    one_hot = labels.shape == values.shape
    classes = labels.size == values.size // values.shape[-1] and labels.dtype.kind in "iub"
    return one_hot or classes


def make_scorers(
    metrics: Sequence[MetricName] | None,
    wanted_output: str | None,
    outputs: Mapping[str, object],
    labels: Array,
) -> list[Scorer]:
    """Return a scorer for each metric, on the wanted output or the first that fits the labels.

    `outputs` are one run's outputs by name, in graph order. Left-out metrics are `top1` for labels
    that are classes, else `mean_squared_error`.

    Raises:
        InvalidDatasetError: no output can be scored so; the message says what was tried.
    """
    is_classes = labels.dtype.kind != "f" or _is_one_hot(labels)
    chosen: Sequence[MetricName] = metrics or (["top1"] if is_classes else ["mean_squared_error"])
    return [_make_scorer(metric, wanted_output, outputs, labels) for metric in chosen]


def _make_scorer(
    metric: MetricName, wanted: str | None, outputs: Mapping[str, object], labels: Array
) -> Scorer:
    if wanted is not None and wanted not in outputs:
        listed = ", ".join(f'"{name}"' for name in outputs)
        raise InvalidDatasetError(
            f'evaluation.output "{wanted}" is no output of the model, which has {listed}'
        )
    for position, (name, value) in enumerate(outputs.items()):
        if wanted in {None, name} and fits(metric, as_array(value), labels):
            return Scorer(metric, name, position)
    shapes = ", ".join(f'"{name}" {as_array(value).shape}' for name, value in outputs.items())
    raise InvalidDatasetError(
        f"{metric} cannot be scored: labels of shape {labels.shape} and dtype {labels.dtype} fit"
        f" none of the outputs {shapes}"
    )


def _is_one_hot(labels: Array) -> bool:
    if labels.ndim < 2 or labels.shape[-1] < 2:
        return False
    return bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(-1) == 1))


def _count(metric: MetricName) -> int:
    return 5 if metric == "top5" else 1
