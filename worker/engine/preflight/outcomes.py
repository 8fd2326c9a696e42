"""What each pass makes of a model: its own outlook, on a part of each large weight, in bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.engine.passes.base import Outlook, PartResult, Pass, PassContext, Preview, SkippedNode
from worker.engine.preflight.prepared import PreparedModels
from worker.engine.preflight.thinning import deflated_size_of_result, left_out_bytes, size_of_result
from worker.engine.samples import DataOrigin, Sample
from worker.engine.weights.finding import Weight
from worker.engine.weights.rounding import Rounding
from worker.engine.weights.sampled_rounding import round_sample


@dataclass(frozen=True)
class Outcome:
    """What became of the model; `sizes` are those of the ways that measured choices may go.

    The first is the likeliest. `original_bytes` is what to compare with, where that is not the
    size of the uploaded files.
    """

    sizes: Sequence[int] = ()
    touched: Sequence[str] = ()
    skipped: Sequence[SkippedNode] = ()
    original_bytes: int | None = None


class NoSamples:
    """No samples at all: passes then decide by what they need no run for."""

    origin: DataOrigin = "synthetic"

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Sample]:
        return iter(())


class Forecaster:
    """Foretells what passes do to one model."""

    def __init__(self, models: PreparedModels, workdir: Path) -> None:
        self._models = models
        self._rounding: dict[tuple[str, int], Rounding] = {}
        self._context = PassContext(workdir, NoSamples(), lambda _stage, _fraction: None)

    def outcome(self, step: Pass) -> Outcome:
        """Return what a pass does.

        Raises:
            EngineError: what the pass would refuse the model for.
        """
        part = self._models.thinned(step)
        outlook = step.foresee(Preview(self._models.whole, part, self._context, self._round))
        sizes = [self._size(step, result) for result in outlook.results]
        original = None
        if step.shrinks == "deflated_bytes":
            original = self._size(step, PartResult(self._models.thinned(step)))
        likeliest = _likeliest(outlook, sizes)
        return Outcome([likeliest, *sizes], outlook.touched, outlook.skipped, original)

    def _size(self, step: Pass, result: PartResult) -> int:
        """Return the size that a result would have with whole weights; tidies it."""
        if step.shrinks == "deflated_bytes":
            return deflated_size_of_result(result.model, self._models.left_out)
        missing = result.missing_bytes
        if missing is None:
            missing = left_out_bytes(result.model, self._models.left_out)
        return size_of_result(result.model, missing)

    def _round(self, weight: Weight) -> Rounding:
        """Return what rounds a weight's sample, which is the same for all bits."""
        key = (weight.name, weight.size)
        if key not in self._rounding:
            self._rounding[key] = round_sample(weight)
        return self._rounding[key]


def _likeliest(outlook: Outlook, sizes: Sequence[int]) -> int:
    first, last = sizes[0], sizes[-1]
    return round(last + outlook.first_share * (first - last))
