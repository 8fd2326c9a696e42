"""What each compressed segment does to the answers, measured within a budget of time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.engine.blame.pairing import Segment
from worker.engine.blame.switches import Switchboard

SHARE_FOR_SINGLES = 0.75
"""Of the budget, for measuring segments one by one."""
QUICK_SECONDS = 1.0
"""In which all segments are measured on all samples; else on fewer, and ..."""
REFINED_NODES = 8
"""... so many of them, the worst, then on all."""
RESTORED_NODES = 3
NEGLIGIBLE_ERROR = 1e-5
"""50 dB: nothing is lost."""
DOMINANT_SHARE = 0.5
LARGE_SHARE = 0.2
FAR_ABOVE = 10.0
EXTRAORDINARY_DB = 15.0
"""By how much a node's own SQNR is below the median of those that lose anything."""
LOSSLESS_DB = 100.0


class Budget:
    """Seconds that may be spent on finding out who is to blame, by some clock."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._seconds = seconds
        self._clock = clock
        self._started = clock()

    @property
    def left(self) -> float:
        """Seconds that are left, never less than 0."""
        return max(0.0, self._seconds - (self._clock() - self._started))

    def timed(self, work: Callable[[], object]) -> float:
        """Return how many of these seconds some work takes, more than 0."""
        started = self._clock()
        work()
        return max(self._clock() - started, 1e-6)


@dataclass
class Effect:
    """What one segment does: by itself, to the answers alone, and when it alone is restored."""

    segment: Segment
    local_db: float | None
    alone_db: float | None = None
    restored_db: float | None = None

    @property
    def error(self) -> float:
        """The share of the answers' energy that it costs alone."""
        return 0.0 if self.alone_db is None else as_error(self.alone_db)


def as_error(decibels: float) -> float:
    """Return the noise energy over the signal energy."""
    return float(10 ** (-decibels / 10))


def measure_effects(
    board: Switchboard,
    segments: Sequence[Segment],
    local: dict[str, float | None],
    budget: Budget,
) -> list[Effect]:
    """Return the effects, worst first.

    Segments are measured in the order of their own errors, on fewer samples where time is short,
    and the worst then on all; those that it does not reach come last.
    """
    effects = [Effect(segment, local.get(segment.name)) for segment in segments]
    effects.sort(key=lambda each: _known(each.local_db))
    few = _quick_samples(board, len(effects), budget)
    limit = budget.left * (1 - SHARE_FOR_SINGLES)
    for effect in effects:
        effect.alone_db = board.fidelity_db({effect.segment.name}, few)
        if budget.left <= limit:
            break
    effects.sort(key=lambda each: _known(each.alone_db))
    for effect in effects[:REFINED_NODES]:
        if budget.left > 0 and effect.alone_db is not None:
            effect.alone_db = board.fidelity_db({effect.segment.name})
    effects.sort(key=lambda each: _known(each.alone_db))
    everything = {segment.name for segment in segments}
    for effect in effects[:RESTORED_NODES]:
        if budget.left > 0:
            effect.restored_db = board.fidelity_db(everything - {effect.segment.name})
    return effects


def is_extraordinary(effect: Effect, effects: Sequence[Effect]) -> bool:
    """Return whether a node's own error is far larger than those of most nodes."""
    found = [each.local_db for each in effects if each.local_db is not None]
    known = sorted(decibels for decibels in found if decibels < LOSSLESS_DB)
    if effect.local_db is None or not known:
        return False
    return effect.local_db <= known[len(known) // 2] - EXTRAORDINARY_DB


def culprits(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects that stand out of all others, worst first.

    An effect does where it is more than half of what is left, or a fifth of it and far above the
    median of the others.
    """
    rest = list(effects)
    found: list[Effect] = []
    while len(rest) > 1:
        first, *others = rest
        total = sum(each.error for each in rest)
        median = others[len(others) // 2].error
        if first.error <= NEGLIGIBLE_ERROR or not _stands_out(first.error, total, median):
            break
        found.append(first)
        rest = others
    return found


def _stands_out(error: float, total: float, median: float) -> bool:
    return error > DOMINANT_SHARE * total or (
        error > LARGE_SHARE * total and error > FAR_ABOVE * median
    )


def _quick_samples(board: Switchboard, count: int, budget: Budget) -> int:
    """Return on how many samples each of some segments is measured in no time, at least one."""
    one = budget.timed(lambda: board.fidelity_db((), 1))
    seconds = min(QUICK_SECONDS, budget.left * SHARE_FOR_SINGLES)
    return max(1, min(len(board.samples), int(seconds / (one * max(count, 1)))))


def _known(decibels: float | None) -> float:
    return float("inf") if decibels is None else decibels
