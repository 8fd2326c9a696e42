"""Comparing a compressed model with the original on samples: one run of both for each sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.engine.errors import InvalidDatasetError, VerificationError
from worker.engine.fidelity import OutputComparison
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.runtime import Session, run
from worker.engine.samples import Sample, SampleSource
from worker.engine.scoring.scorers import ScorePlan, Scorer, plan_scores
from worker.engine.spec import Evaluation


@dataclass(frozen=True)
class Comparison:
    """What the samples say about both models."""

    fidelity: list[OutputFidelity]
    accuracy: list[Score] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """What to score, and the seed of its intervals."""

    plans: Sequence[ScorePlan] = ()
    seed: int = 0


def output_names(session: Session) -> list[str]:
    """Return the names of a model's outputs, in graph order."""
    return [output.name for output in session.get_outputs()]


def choose_scores(
    before: Session, sample: Sample, evaluation: Evaluation
) -> tuple[list[ScorePlan], list[str]]:
    """Run the original on a first sample, and return the scores its labels allow and warnings.

    Raises:
        InvalidDatasetError: the sample does not run, or a metric that was asked for is impossible.
    """
    outputs = run(before, sample.feeds, failure=InvalidDatasetError)
    named = dict(zip(output_names(before), outputs, strict=True))
    try:
        plans = plan_scores(evaluation, named, sample)
    except InvalidDatasetError as error:
        if evaluation.metrics or evaluation.output:
            raise
        return [], [f"the labels were not used: {error}"]
    read = {plan.metric.labels for plan in plans}
    unread = [name for name in sample.fields if name not in read]
    return plans, [f'array "{name}" is no input, and no metric reads it' for name in unread]


def compare(
    before: Session,
    after: Session,
    samples: SampleSource,
    job: Scoring,
    report_progress: Callable[[float], None],
) -> Comparison:
    """Run both models on every sample and return fidelity and scores.

    Raises:
        InvalidDatasetError: the original does not run on a sample, or labels do not fit.
        VerificationError: the compressed model does not.
    """
    scorers = [Scorer(plan) for plan in job.plans]
    comparisons = [OutputComparison(name) for name in output_names(before)]
    for index, sample in enumerate(samples):
        reference = run(before, sample.feeds, failure=InvalidDatasetError)
        answer = run(after, sample.feeds, failure=VerificationError)
        for comparison, expected, actual in zip(comparisons, reference, answer, strict=True):
            comparison.add(expected, actual)
        for scorer in scorers:
            scorer.add(reference, answer, sample)
        report_progress((index + 1) / len(samples))
    return Comparison(
        [comparison.result(samples.origin) for comparison in comparisons],
        [scorer.result(job.seed) for scorer in scorers],
    )
