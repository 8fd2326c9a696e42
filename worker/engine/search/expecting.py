"""How long a candidate will take: as long as the last one like it, or the least that any takes."""

from worker.engine.original import Original
from worker.engine.search.point import Proposal


class Expectations:
    """What the candidates so far say of the next one's time."""

    def __init__(self, original: Original) -> None:
        self._calibrating_runs = len(original.samples.calibration)
        self._shortest_seconds = 0.0
        self._run_seconds = 0.0
        self._lasted: dict[tuple[str, ...], float] = {}

    def start_from(self, comparing_seconds: float, run_seconds: float) -> None:
        """Take in the original, which was compared as every candidate is."""
        self._shortest_seconds = comparing_seconds
        self._run_seconds = run_seconds

    def note(self, proposal: Proposal, seconds: float) -> None:
        """Take in how long a candidate took, whatever became of it."""
        self._lasted[proposal.methods] = seconds

    def seconds_of(self, proposal: Proposal) -> float:
        """Return what the latest of the same methods took, else what no candidate does without.

        That is to be compared and, where samples matter, to run on them.
        """
        if proposal.methods in self._lasted:
            return self._lasted[proposal.methods]
        gains = any(step.gains_from_samples() for step in proposal.passes)
        return self._shortest_seconds + gains * self._calibrating_runs * self._run_seconds
