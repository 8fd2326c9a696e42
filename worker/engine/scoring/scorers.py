"""Scoring both models on the same labelled samples, each metric on the output that fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import float_info

import numpy as np

from worker.engine.errors import InvalidDatasetError, VerificationError
from worker.engine.outputs import as_array
from worker.engine.report.quality import Score
from worker.engine.samples import Array, Sample
from worker.engine.scoring.base import Answer, Metric, MisfitError, Scored, Tally
from worker.engine.scoring.declared import MetricName, declare
from worker.engine.scoring.intervals import paired_intervals
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

    def answer(self, outputs: Sequence[object], sample: Sample) -> Answer:
        """Return one run's answer with its labels.

        Raises:
            MisfitError: the sample has no such labels.
        """
        labels = sample.label_field(self.metric.labels)
        if labels is None or len(labels) == 0:
            raise MisfitError("there are none")
        other = None if self.other_position is None else as_array(outputs[self.other_position])
        return Answer(as_array(outputs[self.position]), labels, sample.number, other)


class Scorer:
    """One metric's tallies of both models."""

    def __init__(self, plan: ScorePlan) -> None:
        self._plan = plan
        self._before = plan.metric.start()
        self._after = plan.metric.start()
        self._runs = 0

    def add(self, reference: Sequence[object], answer: Sequence[object], sample: Sample) -> None:
        """Take in one run's outputs of both models.

        Raises:
            InvalidDatasetError: the original's cannot be scored against the sample's labels.
            VerificationError: the compressed model's cannot.
        """
        try:
            self._before.add(self._plan.answer(reference, sample))
        except MisfitError as error:
            raise self._wrong(f"evaluation sample {self._runs}: {error}") from error
        try:
            self._after.add(self._plan.answer(answer, sample))
        except MisfitError as error:
            message = self._words(f"the compressed model's answer: {error}")
            raise VerificationError(message) from error
        self._runs += 1

    def result(self, seed: int) -> Score:
        """Return both models' scores on all samples so far, with their intervals.

        Raises:
            InvalidDatasetError: the labels leave the score undefined.
        """
        before, after = self._finished(self._before), self._finished(self._after)
        metric = self._plan.metric
        scores = [scored.score(np.ones(scored.samples)) for scored in (before, after)]
        if np.isnan(scores).any():
            raise self._wrong(metric.undefined)
        values = [float(np.clip(score, -float_info.max, float_info.max)) for score in scores]
        intervals = paired_intervals(before, after, seed)
        return Score(
            name=self._plan.name,
            metric=metric.metric,
            output=self._plan.output,
            labels=metric.labels,
            samples=before.samples,
            before=values[0],
            after=values[1],
            larger_is_better=metric.larger_is_better,
            unit=metric.unit,
            before_interval=intervals and intervals.before,
            after_interval=intervals and intervals.after,
            difference_interval=intervals and intervals.difference,
        )

    def _finished(self, tally: Tally) -> Scored:
        try:
            return tally.finish()
        except MisfitError as error:
            raise self._wrong(str(error)) from error

    def _wrong(self, reason: str) -> InvalidDatasetError:
        return InvalidDatasetError(self._words(reason))

    def _words(self, reason: str) -> str:
        plan = self._plan
        return (
            f'{plan.name} cannot be scored on "{plan.output}" against "{plan.metric.labels}":'
            f" {reason}"
        )


def plan_scores(
    evaluation: Evaluation, outputs: Mapping[str, object], sample: Sample
) -> list[ScorePlan]:
    """Return a plan for each metric, on the wanted output or the first that fits the labels.

    `outputs` are the original's for that first sample by name, in graph order. Left-out metrics are
    `top1` for labels that are classes, else `mean_squared_error`; none without labels.

    Raises:
        InvalidDatasetError: no output can be scored so; the message says what was tried.
    """
    asked = evaluation.metrics
    if not asked:
        if sample.labels is None:
            return []
        asked = [_usual_metric(sample.labels)]
    return [_plan(declare(metric, evaluation.output), outputs, sample) for metric in asked]


def _plan(metric: Metric, outputs: Mapping[str, object], sample: Sample) -> ScorePlan:
    if sample.label_field(metric.labels) is None:
        raise InvalidDatasetError(
            f'the metric "{metric.metric}" needs labels: add an array named "{metric.labels}" to'
            f" the evaluation data{_fields(sample)}"
        )
    names = list(outputs)
    for wanted in (metric.output, metric.other_output()):
        if wanted is not None and wanted not in outputs:
            raise InvalidDatasetError(
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
    raise InvalidDatasetError(
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
