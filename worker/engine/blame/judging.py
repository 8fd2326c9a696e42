"""What the samples of the evaluation say of a result and of what mends it, in the same terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx

from worker.engine.blame.switches import worst_part_db
from worker.engine.candidate import Candidate
from worker.engine.datasets.splitting import at_most
from worker.engine.errors import PassError
from worker.engine.evaluation import Scoring, compare
from worker.engine.original import Original
from worker.engine.report.quality import OutputFidelity
from worker.engine.runtime import Session, open_session
from worker.engine.samples import Feeds, SampleSource


@dataclass(frozen=True)
class Judged:
    """What samples say of a model.

    Args:
        sqnr_db: of the worst output or part of one.
        count: on how many samples.
        telling: the samples to look at closely: those whose answers moved most.
    """

    sqnr_db: float
    count: int
    telling: Sequence[Feeds]


class Judge:
    """Compares models with the original on as many samples as there is time for.

    Args:
        original: what they should answer.
        candidate: the result of the job.
        most: samples, at most.
        telling: how many samples are looked at closely.
    """

    def __init__(self, original: Original, candidate: Candidate, most: int, telling: int) -> None:
        self._original = original
        self._candidate = candidate
        self._telling = telling
        self.samples: SampleSource = at_most(original.samples.evaluation, most)

    @cached_property
    def of_result(self) -> Judged:
        """What they say of the result; its own evaluation knows, where that has all of them."""
        if len(self.samples) == len(self._original.samples.evaluation):
            return self._judged(self._candidate.comparison.fidelity)
        return self._of_session(self._candidate.written.pair.after)

    def of(self, model: onnx.ModelProto) -> Judged:
        """Return what they say of another model.

        Raises:
            EngineError: it does not run on them.
        """
        return self._of_session(open_session(model, failure=PassError))

    def _of_session(self, session: Session) -> Judged:
        scoring = Scoring(references=self._original.scoring.references)
        comparison = compare(self._original.session, session, self.samples, scoring, lambda _: None)
        return self._judged(comparison.fidelity)

    def _judged(self, fidelity: Sequence[OutputFidelity]) -> Judged:
        return Judged(worst_part_db(fidelity), len(self.samples), self._telling_of(fidelity))

    def _telling_of(self, fidelity: Sequence[OutputFidelity]) -> list[Feeds]:
        """Return the samples whose answers moved most, one of each output, then the first ones.

        Those may say nothing: a classifier that is sure of a sample hides every rounding before it.
        """
        worst = [output.worst_sample for output in fidelity]
        wanted = list(dict.fromkeys([*worst, *range(self._telling)]))[: self._telling]
        found = {
            place: sample.feeds for place, sample in enumerate(self.samples) if place in wanted
        }
        return [found[place] for place in wanted if place in found]
