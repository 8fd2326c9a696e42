"""Comparing a compressed model with the original on samples: one run of both for each sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from worker.engine.accuracy import Scorer, make_scorers
from worker.engine.errors import InvalidDatasetError, VerificationError
from worker.engine.fidelity import OutputComparison
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.runtime import Session, run
from worker.engine.samples import Sample, SampleSource
from worker.engine.spec import Evaluation


@dataclass(frozen=True)
class Comparison:
    """What the samples say about both models."""

    fidelity: list[OutputFidelity]
    accuracy: list[Score] = field(default_factory=list)


def output_names(session: Session) -> list[str]:
    """Return the names of a model's outputs, in graph order."""
    return [output.name for output in session.get_outputs()]


def choose_scorers(
    before: Session, sample: Sample, evaluation: Evaluation
) -> tuple[list[Scorer], list[str]]:
    """Run the original on a first sample, and return the scorers its labels allow and warnings.

    Raises:
        InvalidDatasetError: the sample does not run, or a metric that was asked for is impossible.
    """
    outputs = run(before, sample.feeds, failure=InvalidDatasetError)
    asked = evaluation.metrics
    if sample.labels is None:
        if asked:
            raise InvalidDatasetError(
                f'the metric "{asked[0]}" needs labels: add an array named "labels" to the'
                " evaluation data"
            )
        return [], []
    named = dict(zip(output_names(before), outputs, strict=True))
    try:
        return make_scorers(asked, evaluation.output, named, sample.labels), []
    except InvalidDatasetError as error:
        if asked or evaluation.output:
            raise
        return [], [f"the labels were not used: {error}"]


def compare(
    before: Session,
    after: Session,
    samples: SampleSource,
    scorers: Sequence[Scorer],
    report_progress: Callable[[float], None],
) -> Comparison:
    """Run both models on every sample and return fidelity and scores.

    Raises:
        InvalidDatasetError: the original does not run on a sample.
        VerificationError: the compressed model does not.
    """
    comparisons = [OutputComparison(name) for name in output_names(before)]
    for index, sample in enumerate(samples):
        reference = run(before, sample.feeds, failure=InvalidDatasetError)
        answer = run(after, sample.feeds, failure=VerificationError)
        for comparison, expected, actual in zip(comparisons, reference, answer, strict=True):
            comparison.add(expected, actual)
        if sample.labels is not None:
            for scorer in scorers:
                scorer.add(reference, answer, sample.labels)
        report_progress((index + 1) / len(samples))
    return Comparison(
        [comparison.result(samples.origin) for comparison in comparisons],
        [scorer.result() for scorer in scorers],
    )
