"""Times of two loaded models, run in turn."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from worker.engine.runtime import Session, run
from worker.engine.samples import Feeds

BUDGET_SECONDS = 20.0
WARM_UP_RUNS = 3


@dataclass(frozen=True)
class LoadedPair:
    """Both models ready to run, and how long each took to load."""

    before: Session
    after: Session
    load_seconds_before: float
    load_seconds_after: float


def time_in_turn(
    pair: LoadedPair, feeds: Sequence[Feeds], runs: int, report_progress: Callable[[float], None]
) -> tuple[list[float], list[float]]:
    """Return the seconds of each timed run of both models, in pairs.

    Both runs of a pair take the same feeds, which go round; who starts alternates, so that drift
    of the machine meets both. Stops after 20 seconds, with one pair at least.
    """
    started = time.perf_counter()
    for _ in range(WARM_UP_RUNS):
        _timed(pair.before, feeds[0])
        _timed(pair.after, feeds[0])
        if time.perf_counter() - started > BUDGET_SECONDS / 4:
            break
    before: list[float] = []
    after: list[float] = []
    for index in range(runs):
        current = feeds[index % len(feeds)]
        turns = [(pair.before, before), (pair.after, after)]
        for session, times in turns if index % 2 == 0 else reversed(turns):
            times.append(_timed(session, current))
        report_progress((index + 1) / runs)
        if time.perf_counter() - started > BUDGET_SECONDS:
            break
    return before, after


def _timed(session: Session, feeds: Feeds) -> float:
    started = time.perf_counter()
    run(session, feeds)
    return time.perf_counter() - started
