"""Whether the machine was quiet enough to time anything on it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worker.engine.report.timings import RatioInterval

STAT = Path("/proc/stat")
SHORTEST_WATCH_SECONDS = 0.25
"""The kernel counts in ticks of 10 ms; what a shorter watch sees is chance."""
WAITING_FRACTION = 0.05
SPREAD = 0.15
BUSY_FRACTION = 0.5
STOLEN_FRACTION = 0.02
IDLE_FIELDS = (3, 4)
STEAL_FIELD = 7
GUEST_FIELDS = slice(8, None)


@dataclass(frozen=True)
class MachineTimes:
    """What the machine and this process have done by a moment, in seconds of processors.

    `busy` and `stolen` are null where the system does not tell (proc_stat(5), Linux).
    """

    wall: float
    own: float
    busy: float | None
    stolen: float | None

    @classmethod
    def now(cls) -> "MachineTimes":
        """Read the clocks."""
        wall, own = time.perf_counter(), time.process_time()
        try:
            words = STAT.read_text().partition("\n")[0].split()
            ticks = [int(word) for word in words[1:]]
        except (OSError, ValueError):
            return cls(wall, own, None, None)
        if len(ticks) <= STEAL_FIELD:
            return cls(wall, own, None, None)
        second = os.sysconf("SC_CLK_TCK")
        stolen = ticks[STEAL_FIELD]
        # A guest's time is counted as user time too.
        idle = sum(ticks[field] for field in IDLE_FIELDS) + sum(ticks[GUEST_FIELDS])
        return cls(wall, own, (sum(ticks) - idle - stolen) / second, stolen / second)


def noise_reasons(
    ratios: Sequence[float],
    interval: RatioInterval | None,
    waiting_fraction: float | None,
    watch: tuple[MachineTimes, MachineTimes],
) -> list[str]:
    """Return, in words, each sign that timings were disturbed; none on a quiet machine.

    Args:
        ratios: of each round of runs, in which both models had the same chances.
        interval: of their median.
        waiting_fraction: of the wall time of runs on one thread, what that thread spent off the
            processor; None where runs use several threads or a GPU.
        watch: the machine before and after the timed runs.
    """
    reasons = []
    confidence = 0.0 if interval is None else interval.confidence
    if confidence < 0.95:
        reasons.append(
            f"only {len(ratios)} rounds of runs fitted the time: the interval holds the ratio with"
            f" {confidence:.0%} confidence"
        )
    if waiting_fraction is not None and waiting_fraction > WAITING_FRACTION:
        reasons.append(
            f"the timed runs spent {waiting_fraction:.0%} of their time waiting for a processor"
        )
    lower, median, upper = np.percentile(ratios, [25, 50, 75])
    if (upper - lower) / median > SPREAD:
        reasons.append(
            f"the middle half of the rounds' ratios spreads from {lower:.2f} to {upper:.2f}"
        )
    return reasons + _other_load(*watch)


def _other_load(start: MachineTimes, end: MachineTimes) -> list[str]:
    """Return what other programs, and other machines on the same hardware, took meanwhile."""
    wall = end.wall - start.wall
    if wall < SHORTEST_WATCH_SECONDS or start.busy is None or end.busy is None:
        return []
    reasons = []
    processors = os.cpu_count() or 1
    others = (end.busy - start.busy - (end.own - start.own)) / wall
    if others > BUSY_FRACTION * processors:
        reasons.append(f"other programs kept {others:.1f} of {processors} processors busy")
    stolen = ((end.stolen or 0) - (start.stolen or 0)) / wall
    if stolen > STOLEN_FRACTION * processors:
        reasons.append(f"the host took {stolen / processors:.0%} of the processors' time away")
    return reasons
