"""Times of two loaded models, run in turn."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from worker.engine.runtime import Session, run
from worker.engine.samples import Feeds

BUDGET_SECONDS = 20.0
WARM_UP_RUNS = 3
WARM_UP_SECONDS = 5.0


@dataclass(frozen=True)
class LoadedPair:
    """Both models ready to run, and how long each took to load."""

    before: Session
    after: Session
    load_seconds_before: float
    load_seconds_after: float


@dataclass(frozen=True)
class TimedRun:
    """One run: wall time, and the processor time of the thread that called it."""

    seconds: float
    thread_seconds: float


def timed_pairs(pair: LoadedPair, feeds: Sequence[Feeds]) -> Iterator[tuple[TimedRun, TimedRun]]:
    """Yield the original's and the compressed model's next run, without end, after a warm-up.

    Who starts alternates, so that drift of the machine and the better place of the second run
    meet both. Two pairs in a row, one in each order, take the same feeds; the feeds go round.
    A warm-up that takes seconds changes little, and is yielded as a pair.
    """
    started = time.perf_counter()
    for _ in range(WARM_UP_RUNS):
        warm_up = _timed(pair.before, feeds[0]), _timed(pair.after, feeds[0])
        if time.perf_counter() - started > WARM_UP_SECONDS:
            yield warm_up
            break
    for index in count():
        current = feeds[index // 2 % len(feeds)]
        if index % 2 == 0:
            before = _timed(pair.before, current)
            after = _timed(pair.after, current)
        else:
            after = _timed(pair.after, current)
            before = _timed(pair.before, current)
        yield before, after


def time_in_turn(
    pair: LoadedPair, feeds: Sequence[Feeds], runs: int, report_progress: Callable[[float], None]
) -> tuple[list[float], list[float]]:
    """Return the seconds of each timed run of both models, in pairs.

    Stops after 20 seconds, with one pair at least.
    """
    started = time.perf_counter()
    before: list[float] = []
    after: list[float] = []
    for first, second in islice(timed_pairs(pair, feeds), runs):
        before.append(first.seconds)
        after.append(second.seconds)
        report_progress(len(before) / runs)
        if time.perf_counter() - started > BUDGET_SECONDS:
            break
    return before, after


def _timed(session: Session, feeds: Feeds) -> TimedRun:
    thread_started = time.thread_time()
    started = time.perf_counter()
    run(session, feeds)
    seconds = time.perf_counter() - started
    return TimedRun(seconds, time.thread_time() - thread_started)
