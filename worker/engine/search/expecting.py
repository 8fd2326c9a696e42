"""How long a candidate takes at the least, by those before it."""

from worker.engine.original import Original
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.point import Proposal
from worker.engine.search.rounding_time import collecting_seconds, rounding_seconds


class Expectations:
    """What the candidates so far say of the next one's time."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._calibrating_runs = len(original.samples.calibration)
        self._evaluating_runs = len(original.samples.evaluation)
        self._shortest_seconds = 0.0
        self._run_seconds = 0.0
        self._lasted: dict[tuple[str, ...], float] = {}
        self._rounded_blocks: set[int] = set()

    def start_from(self, comparing_seconds: float, run_seconds: float) -> None:
        """Take in the original, which was compared as all are, but did not have to run again.

        Its answers tell what running the samples takes better than single runs do: small samples
        were run together.
        """
        references = self._original.scoring.references
        each = None if references is None else references.seconds_each
        each = run_seconds if each is None else min(each, run_seconds)
        self._shortest_seconds = comparing_seconds + self._evaluating_runs * each
        self._run_seconds = run_seconds

    def note(self, proposal: Proposal, seconds: float) -> None:
        """Take in how long a candidate took, whatever became of it."""
        known = self._lasted.get(proposal.methods, seconds)
        self._lasted[proposal.methods] = min(known, seconds)
        self._rounded_blocks |= {step.block_size for step in _compensating(proposal)}

    def seconds_of(self, proposal: Proposal) -> float:
        """Return what the quickest of the same methods took, or what none does without.

        The quickest, as what the first of them work out the next ones find. No candidate does
        without being compared and, where samples matter, the first not without running on them;
        compensated rounding in blocks of a size comes on top the first time.
        """
        lasted = self._lasted.get(proposal.methods)
        seconds = max(self._shortest_seconds, lasted or 0.0)
        seconds += sum(map(self._rounding_seconds, _compensating(proposal)))
        gains = any(step.gains_from_samples() for step in proposal.passes)
        is_first = lasted is None or (not self._rounded_blocks and _compensating(proposal))
        if gains and is_first:
            seconds += self._calibrating_runs * self._run_seconds
        return seconds

    def _rounding_seconds(self, step: WeightQuantization) -> float:
        """Return what compensated rounding takes that no candidate did before."""
        if step.block_size in self._rounded_blocks:
            return 0.0
        model = self._original.prepared_for([step]).model
        seconds = rounding_seconds(step, model)
        if not self._rounded_blocks:
            seconds += collecting_seconds(step, model, self._calibrating_runs)
        return seconds


def _compensating(proposal: Proposal) -> list[WeightQuantization]:
    """Return the passes whose rounding is compensated."""
    steps = [step for step in proposal.passes if isinstance(step, WeightQuantization)]
    return [step for step in steps if step.error_compensation and step.gains_from_samples()]
