"""Scoring both models on the same labelled samples: the original first, then each result."""

from collections.abc import Sequence
from dataclasses import dataclass
from sys import float_info

import numpy as np

from worker.engine.errors import VerificationError
from worker.engine.report.quality import Score
from worker.engine.samples import Sample
from worker.engine.scoring.base import MisfitError, Scored
from worker.engine.scoring.intervals import paired_intervals
from worker.engine.scoring.planning import ScorePlan


@dataclass(frozen=True)
class OriginalScore:
    """The original's answers to all samples, as one metric keeps them, and their score."""

    plan: ScorePlan
    scored: Scored
    value: float

    @property
    def warning(self) -> str | None:
        """What to say of a score that no result can fall short of."""
        metric = self.plan.metric
        if metric.unit == "none" or (self.value > 0 if metric.larger_is_better else self.value < 1):
            return None
        return (
            f'{self.plan.name} is {self.value:.4g} for the original itself on "{self.plan.output}",'
            " so that it tells nothing of what is lost: check the labels, and the metric's options"
        )


class OriginalScorer:
    """One metric's tally of the original, made before anything is compressed."""

    def __init__(self, plan: ScorePlan) -> None:
        self._plan = plan
        self._tally = plan.metric.start()
        self._runs = 0

    def add(self, outputs: Sequence[object], sample: Sample) -> None:
        """Take in one run's outputs.

        Raises:
            MisfitError: they cannot be scored against the sample's labels.
        """
        try:
            self._tally.add(self._plan.answer(outputs, sample))
        except MisfitError as error:
            message = self._plan.words(f"evaluation sample {self._runs}: {error}")
            raise MisfitError(message) from error
        self._runs += 1

    def result(self) -> OriginalScore:
        """Return the score of all samples so far.

        Raises:
            MisfitError: the samples leave it undefined.
        """
        try:
            scored = self._tally.finish()
        except MisfitError as error:
            raise MisfitError(self._plan.words(str(error))) from error
        value = _score(scored)
        if np.isnan(value):
            raise MisfitError(self._plan.words(self._plan.metric.undefined))
        if scored.is_constant:
            raise MisfitError(
                self._plan.words("the original answers every sample alike, which follows nothing")
            )
        return OriginalScore(self._plan, scored, value)


class Scorer:
    """One metric's tally of a compressed model, beside the original's."""

    def __init__(self, original: OriginalScore) -> None:
        self._original = original
        self._tally = original.plan.metric.start()

    def add(self, outputs: Sequence[object], sample: Sample) -> None:
        """Take in one run's outputs.

        Raises:
            VerificationError: they cannot be scored as the original's were.
        """
        try:
            self._tally.add(self._original.plan.answer(outputs, sample))
        except MisfitError as error:
            raise self._wrong(error) from error

    def result(self, seed: int) -> Score:
        """Return both models' scores with their intervals.

        Raises:
            VerificationError: the compressed model's answers leave the score undefined.
        """
        plan, before = self._original.plan, self._original.scored
        try:
            after = self._tally.finish()
        except MisfitError as error:
            raise self._wrong(error) from error
        value = _score(after)
        if np.isnan(value):
            raise self._wrong(plan.metric.undefined)
        intervals = paired_intervals(before, after, seed)
        return Score(
            name=plan.name,
            metric=plan.metric.metric,
            output=plan.output,
            labels=plan.metric.labels,
            samples=before.samples,
            before=self._original.value,
            after=value,
            larger_is_better=plan.metric.larger_is_better,
            unit=plan.metric.unit,
            before_interval=intervals and intervals.before,
            after_interval=intervals and intervals.after,
            difference_interval=intervals and intervals.difference,
        )

    def _wrong(self, reason: object) -> VerificationError:
        message = self._original.plan.words(f"the compressed model's answers: {reason}")
        return VerificationError(message)


def _score(scored: Scored) -> float:
    """Return the score of all samples, which a report can hold; NaN where it is undefined."""
    return float(np.clip(scored.score(np.ones(scored.samples)), -float_info.max, float_info.max))
