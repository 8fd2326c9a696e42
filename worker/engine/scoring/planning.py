"""Which output each metric scores: the wanted one, or the first that fits the labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.engine.outputs import as_array
from worker.engine.samples import Array, Sample
from worker.engine.scoring.base import Answer, Metric, MisfitError
from worker.engine.scoring.declared import MetricName, declare
from worker.engine.spec import Evaluation

LABELS = "labels"


@dataclass(frozen=True)
class ScorePlan:
    """A metric and the places of the outputs it scores."""

    metric: Metric
    output: str
    position: int
    other_position: int | None = None

    @property
    def name(self) -> str:
        """What the report and gates call the score."""
        return self.metric.name or self.metric.metric

    def words(self, reason: str) -> str:
        """Return why this cannot be scored, with what it is about."""
        return (
            f'{self.name} cannot be scored on "{self.output}" against "{self.metric.labels}":'
            f" {reason}"
        )

    def answer(self, outputs: Sequence[object], sample: Sample) -> Answer:
        """Return one run's answer with its labels.

        Raises:
            MisfitError: the sample has no such labels.
        """
        labels = sample.label_field(self.metric.labels)
        if labels is None or len(labels) == 0:
            raise MisfitError("there are none")
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise MisfitError("the labels hold NaN or infinity; leave those samples out")
        other = None if self.other_position is None else as_array(outputs[self.other_position])
        return Answer(as_array(outputs[self.position]), labels, sample.number, other)


def plan_scores(
    evaluation: Evaluation, outputs: Mapping[str, object], sample: Sample
) -> list[ScorePlan]:
    """Return a plan for each metric, on the wanted output or the first that fits the labels.

    `outputs` are the original's for that first sample by name, in graph order. Left-out metrics are
    `top1` for labels that are classes, else `mean_squared_error`; none without labels.

    Raises:
        MisfitError: no output can be scored so; the message says what was tried, or is missing.
    """
    asked = evaluation.metrics
    if not asked:
        if sample.labels is None:
            return []
        asked = [_usual_metric(sample.labels)]
    return [_plan(declare(metric, evaluation.output), outputs, sample) for metric in asked]


def _plan(metric: Metric, outputs: Mapping[str, object], sample: Sample) -> ScorePlan:
    if sample.label_field(metric.labels) is None:
        raise MisfitError(
            f'the metric "{metric.metric}" needs labels: add an array named "{metric.labels}" to'
            f" the evaluation data{_fields(sample)}"
        )
    names = list(outputs)
    for wanted in (metric.output, metric.other_output()):
        if wanted is not None and wanted not in outputs:
            raise MisfitError(
                f'evaluation.output "{wanted}" is no output of the model, which has'
                f" {', '.join(_quoted(names))}"
            )
    other = metric.other_output()
    reasons = []
    for name in names if metric.output is None else [metric.output]:
        plan = ScorePlan(
            metric, name, names.index(name), None if other is None else names.index(other)
        )
        try:
            metric.start().add(plan.answer(list(outputs.values()), sample))
        except MisfitError as error:
            reasons.append(f'"{name}" {as_array(outputs[name]).shape}: {error}')
        else:
            return plan
    labels = sample.label_field(metric.labels)
    described = "" if labels is None else f" of shape {labels.shape} and dtype {labels.dtype}"
    raise MisfitError(
        f'{metric.metric} cannot be scored: "{metric.labels}"{described} fits none of the outputs:'
        f" {'; '.join(reasons)}"
    )


def _usual_metric(labels: Array) -> MetricName:
    is_classes = labels.dtype.kind != "f" or _is_one_hot(labels)
    return "top1" if is_classes else "mean_squared_error"


def _is_one_hot(labels: Array) -> bool:
    if labels.ndim < 2 or labels.shape[-1] < 2:
        return False
    return bool(np.all((labels == 0) | (labels == 1)) and np.all(labels.sum(-1) == 1))


def _fields(sample: Sample) -> str:
    names = [LABELS] if sample.labels is not None else []
    names += list(sample.fields)
    return f", which has {', '.join(_quoted(names))}" if names else ""


def _quoted(names: Sequence[str]) -> list[str]:
    return [f'"{name}"' for name in names]
