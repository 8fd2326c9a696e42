"""Comparing a compressed model with the original on samples: one run of both for each sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from worker.engine.batching import BatchRunner, Groups
from worker.engine.errors import InvalidDatasetError, VerificationError
from worker.engine.fidelity import OutputComparison
from worker.engine.reference import ReferenceAnswers
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.ruin import LOWEST_YES, sigmoid_outputs
from worker.engine.runtime import Session, run
from worker.engine.samples import Array, Sample, SampleSource
from worker.engine.scoring.decisions import DecisionMetric
from worker.engine.scoring.scorers import ScorePlan, Scorer, plan_scores
from worker.engine.spec import Evaluation


@dataclass(frozen=True)
class Comparison:
    """What the samples say about both models."""

    fidelity: list[OutputFidelity]
    accuracy: list[Score] = field(default_factory=list)


@dataclass(frozen=True)
class Scoring:
    """What to score, the thresholds of outputs that decide, and the seed of all intervals."""

    plans: Sequence[ScorePlan] = ()
    seed: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    references: ReferenceAnswers | None = None
    """Where the original's answers are kept; None works them out each time."""


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


def choose_thresholds(
    before: Session, model: onnx.ModelProto, evaluation: Evaluation, plans: Sequence[ScorePlan]
) -> dict[str, float]:
    """Return the threshold of each output that decides.

    That is the one declared for it, else that of a score, else 0.5 for what a sigmoid computes.

    Raises:
        InvalidDatasetError: a declared one is of no output.
    """
    names = output_names(before)
    unknown = [name for name in evaluation.thresholds if name not in names]
    if unknown:
        listed = ", ".join(f'"{name}"' for name in names)
        raise InvalidDatasetError(
            f'evaluation.thresholds: "{unknown[0]}" is no output of the model, which has {listed}'
        )
    scored = {
        plan.output: plan.metric.threshold
        for plan in plans
        if isinstance(plan.metric, DecisionMetric)
    }
    return dict.fromkeys(sigmoid_outputs(model), LOWEST_YES) | scored | evaluation.thresholds


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
    comparisons = [
        OutputComparison(name, threshold=job.thresholds.get(name), is_detailed=True)
        for name in output_names(before)
    ]
    for index, (sample, reference, answer) in enumerate(_answers(before, after, samples, job)):
        for comparison, expected, actual in zip(comparisons, reference, answer, strict=True):
            comparison.add(expected, actual)
        for scorer in scorers:
            scorer.add(reference, answer, sample)
        report_progress((index + 1) / len(samples))
    if job.references is not None:
        job.references.save()
    return Comparison(
        [comparison.result(samples.origin, job.seed) for comparison in comparisons],
        [scorer.result(job.seed) for scorer in scorers],
    )


def _answers(
    before: Session, after: Session, samples: SampleSource, job: Scoring
) -> Iterator[tuple[Sample, list[Array], list[Array]]]:
    """Yield each sample with both models' outputs; small samples are run together."""
    original = BatchRunner(before, InvalidDatasetError)
    compressed = BatchRunner(after, VerificationError)
    groups = Groups(samples)
    for group in groups:
        feeds = [sample.feeds for sample in group]
        if job.references is None:
            references = original.run(feeds)
        else:
            references = job.references.of(original, feeds)
        groups.note(references[0])
        yield from zip(group, references, compressed.run(feeds), strict=True)
