"""Comparing a compressed model with the original on samples: one run of both for each sample."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from worker.engine.batching import BatchRunner, Groups
from worker.engine.empty_answers import EmptyAnswers
from worker.engine.errors import InvalidDatasetError, VerificationError
from worker.engine.fidelity import OutputComparison
from worker.engine.reference import ReferenceAnswers
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.ruin import LOWEST_YES, sigmoid_outputs
from worker.engine.runtime import Session, run
from worker.engine.samples import Array, Sample, SampleSource
from worker.engine.scoring.base import MisfitError
from worker.engine.scoring.decisions import DecisionMetric
from worker.engine.scoring.planning import ScorePlan, plan_scores
from worker.engine.scoring.scorers import OriginalScore, OriginalScorer, Scorer
from worker.engine.spec import Evaluation


@dataclass(frozen=True)
class Comparison:
    """What the samples say about both models."""

    fidelity: list[OutputFidelity]
    accuracy: list[Score] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Of samples that ask nothing of an output."""


@dataclass(frozen=True)
class Scoring:
    """The original's scores, the thresholds of outputs that decide, and the seed of intervals."""

    scores: Sequence[OriginalScore] = ()
    seed: int = 0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    references: ReferenceAnswers | None = None
    """Where the original's answers are kept; None works them out each time."""


def output_names(session: Session) -> list[str]:
    """Return the names of a model's outputs, in graph order."""
    return [output.name for output in session.get_outputs()]


def score_original(
    before: Session,
    samples: SampleSource,
    evaluation: Evaluation,
    references: ReferenceAnswers | None = None,
    *,
    is_asked: bool = True,
) -> tuple[list[OriginalScore], list[str]]:
    """Run the original on the samples, and return the scores their labels allow and warnings.

    All that may be wrong with labels shows here, before anything is compressed. Where no score
    `is_asked` for, labels that cannot be used are only a warning.

    Raises:
        InvalidDatasetError: a sample does not run, or a metric that was asked for is impossible.
    """
    sample = next(iter(samples))
    outputs = run(before, sample.feeds, failure=InvalidDatasetError)
    try:
        plans = plan_scores(
            evaluation, dict(zip(output_names(before), outputs, strict=True)), sample
        )
        scores = _scored(before, samples, plans, references)
    except MisfitError as error:
        if is_asked:
            raise InvalidDatasetError(str(error)) from error
        return [], [f"the labels were not used: {error}"]
    read = {plan.metric.labels for plan in plans}
    unread = [name for name in sample.fields if name not in read]
    return scores, [
        *(f'array "{name}" is no input, and no metric reads it' for name in unread),
        *(score.warning for score in scores if score.warning is not None),
    ]


def _scored(
    before: Session,
    samples: SampleSource,
    plans: Sequence[ScorePlan],
    references: ReferenceAnswers | None,
) -> list[OriginalScore]:
    """Return the original's score by each plan; without a plan nothing is run."""
    scorers = [OriginalScorer(plan) for plan in plans]
    for sample, outputs in _original_answers(before, samples, references) if plans else ():
        for scorer in scorers:
            scorer.add(outputs, sample)
    return [scorer.result() for scorer in scorers]


def choose_thresholds(
    before: Session, model: onnx.ModelProto, evaluation: Evaluation, scores: Sequence[OriginalScore]
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
        for plan in (score.plan for score in scores)
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
        InvalidDatasetError: the original does not run on a sample, or none asks for an output.
        VerificationError: the compressed model does not, or cannot be scored as the original.
    """
    scorers = [Scorer(score) for score in job.scores]
    comparisons = [
        OutputComparison(name, threshold=job.thresholds.get(name), is_detailed=True)
        for name in output_names(before)
    ]
    empty = EmptyAnswers(output_names(before), samples.origin)
    for index, (sample, reference, answer) in enumerate(_answers(before, after, samples, job)):
        empty.add(sample, reference)
        for comparison, expected, actual in zip(comparisons, reference, answer, strict=True):
            comparison.add(expected, actual)
        for scorer in scorers:
            scorer.add(answer, sample)
        report_progress((index + 1) / len(samples))
    return Comparison(
        [comparison.result(samples.origin, job.seed) for comparison in comparisons],
        [scorer.result(job.seed) for scorer in scorers],
        empty.warnings(len(samples)),
    )


def _answers(
    before: Session, after: Session, samples: SampleSource, job: Scoring
) -> Iterator[tuple[Sample, list[Array], list[Array]]]:
    """Yield each sample with both models' outputs; small samples are run together.

    A model beside itself runs once.
    """
    compressed = BatchRunner(after, VerificationError)
    for group, references in _original_groups(before, samples, job.references):
        is_same = after is before
        answers = references if is_same else compressed.run([sample.feeds for sample in group])
        yield from zip(group, references, answers, strict=True)


def _original_answers(
    before: Session, samples: SampleSource, references: ReferenceAnswers | None
) -> Iterator[tuple[Sample, list[Array]]]:
    """Yield each sample with the original's outputs."""
    for group, answers in _original_groups(before, samples, references):
        yield from zip(group, answers, strict=True)


def _original_groups(
    before: Session, samples: SampleSource, references: ReferenceAnswers | None
) -> Iterator[tuple[list[Sample], list[list[Array]]]]:
    """Yield groups of small samples with the original's outputs, worked out where not known."""
    original = BatchRunner(before, InvalidDatasetError)
    groups = Groups(samples)
    for group in groups:
        feeds = [sample.feeds for sample in group]
        answers = original.run(feeds) if references is None else references.of(original, feeds)
        groups.note(answers[0])
        yield group, answers
    if references is not None:
        references.save()
