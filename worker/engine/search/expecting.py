"""How long a candidate takes at the least, by those before it."""

from worker.engine.original import Original
from worker.engine.search.point import Proposal


class Expectations:
    """What the candidates so far say of the next one's time."""

    def __init__(self, original: Original) -> None:
        self._calibrating_runs = len(original.samples.calibration)
        self._evaluating_runs = len(original.samples.evaluation)
        self._shortest_seconds = 0.0
        self._run_seconds = 0.0
        self._lasted: dict[tuple[str, ...], float] = {}

    def start_from(self, comparing_seconds: float, run_seconds: float) -> None:
        """Take in the original, which was compared as all are, but did not have to run again."""
        self._shortest_seconds = comparing_seconds + self._evaluating_runs * run_seconds
        self._run_seconds = run_seconds

    def note(self, proposal: Proposal, seconds: float) -> None:
        """Take in how long a candidate took, whatever became of it."""
        known = self._lasted.get(proposal.methods, seconds)
        self._lasted[proposal.methods] = min(known, seconds)

    def seconds_of(self, proposal: Proposal) -> float:
        """Return what the quickest of the same methods took, or what none does without.

        The quickest, as what the first of them work out the next ones find. No candidate does
        without being compared and, where samples matter, the first not without running on them.
        """
        if proposal.methods in self._lasted:
            return max(self._shortest_seconds, self._lasted[proposal.methods])
        gains = any(step.gains_from_samples() for step in proposal.passes)
        return self._shortest_seconds + gains * self._calibrating_runs * self._run_seconds
