"""Latency of the original and the compressed model, measured in turn in one process."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from worker.engine.errors import EngineError, ResourceError
from worker.engine.performance.intervals import median_interval
from worker.engine.performance.noise import MachineTimes, noise_reasons
from worker.engine.report.timings import Latency, LatencySamples
from worker.engine.requests import TensorInfo
from worker.engine.runtime import provider_in_use, run
from worker.engine.samples import Feeds
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair, TimedRun, timed_pairs

PRECISION = 0.01
"""Half the width of the interval, of the ratio, at which more pairs are not worth their time."""
WAITING_OF_RUN = 0.05
"""Share of a run that its thread may be off the processor, as the clocks' own reading makes it."""
FEWEST_QUIET_ROUNDS = 10
FEWEST_PAIRS = 20
MOST_PAIRS = 500
SHORTEST_SECONDS = 0.5
"""Of pairs: all of a moment's runs share that moment's disturbances."""
SMALL_MODEL_SECONDS = 1.5
LONGEST_SECONDS = 15.0
PAIRS_OF_LARGE_MODELS = 40
ASKED_FOR_SECONDS = 20.0


@dataclass(frozen=True)
class Round:
    """Two pairs in a row, one in either order, on the same feeds.

    The second run of a pair finds warmer caches. Over both orders that cancels; the median of
    single pairs would fall on either side, by a percent or two.
    """

    before: Sequence[TimedRun]
    after: Sequence[TimedRun]

    @property
    def ratio(self) -> float:
        """Compressed over original."""
        return sum(run.seconds for run in self.after) / sum(run.seconds for run in self.before)

    @property
    def has_waited(self) -> bool:
        """Whether the calling thread lost its processor in one of the runs."""
        runs = [*self.before, *self.after]
        return any(run.seconds - run.thread_seconds > WAITING_OF_RUN * run.seconds for run in runs)


@dataclass
class Pairs:
    """The timed runs so far, and the time they took.

    `are_threadless`: all work is the calling thread's, so that its processor time says whether a
    run had to wait.
    """

    are_threadless: bool = False
    before: list[TimedRun] = field(default_factory=list)
    after: list[TimedRun] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rounds(self) -> list[Round]:
        """All rounds; a last pair alone is one too."""
        return [
            Round(self.before[start : start + 2], self.after[start : start + 2])
            for start in range(0, len(self.before), 2)
        ]

    @property
    def undisturbed(self) -> list[Round]:
        """The rounds that tell of the models and not of who else wanted the processor.

        All of them where too few had it for themselves, or where that is not known.
        """
        rounds = self.rounds
        quiet = [each for each in rounds if not (self.are_threadless and each.has_waited)]
        return quiet if len(quiet) >= FEWEST_QUIET_ROUNDS else rounds

    @property
    def ratios(self) -> list[float]:
        """Compressed over original, of each undisturbed round."""
        return [each.ratio for each in self.undisturbed]

    @property
    def waiting_fraction(self) -> float:
        """Share of the wall time that the calling thread was not on a processor."""
        runs = self.before + self.after
        return 1 - sum(run.thread_seconds for run in runs) / sum(run.seconds for run in runs)


def compare_latency(
    pair: LoadedPair,
    feeds: Sequence[Feeds],
    inputs: Sequence[TensorInfo],
    options: LatencyOptions,
    report_progress: Callable[[float], None],
) -> tuple[Latency, list[str]]:
    """Return the times of both models on some samples' feeds, and warnings.

    A batch is a sample repeated; where the model does not take one, samples run as they are.
    """
    warnings: list[str] = []
    batch_size = options.batch_size
    if batch_size > 1:
        batches = [batched_feeds(sample, inputs, batch_size) for sample in feeds]
        ready = [batch for batch in batches if batch is not None]
        if len(ready) == len(feeds) and _runs(pair, ready[0]):
            feeds = ready
        else:
            batch_size = 1
            warnings.append(
                f"latency was measured without a batch: the model does not take"
                f" {options.batch_size} samples at a time"
            )
    start = MachineTimes.now()
    provider = provider_in_use(pair.after)
    pairs = Pairs(are_threadless=(options.threads, provider) == (1, "cpu"))
    _time_pairs(pairs, timed_pairs(pair, feeds), options.runs, report_progress)
    ratios = pairs.ratios
    interval = median_interval(ratios)
    waiting = pairs.waiting_fraction if pairs.are_threadless else None
    noise = noise_reasons(ratios, interval, waiting, (start, MachineTimes.now()))
    latency = Latency(
        threads=options.threads,
        batch_size=batch_size,
        execution_provider=provider,
        before=_summarize(pairs.before),
        after=_summarize(pairs.after),
        ratio=float(np.median(ratios)),
        ratio_interval=interval,
        left_out_rounds=len(pairs.rounds) - len(ratios),
        noisy=bool(noise),
        noise=noise,
        load_seconds_before=pair.load_seconds_before,
        load_seconds_after=pair.load_seconds_after,
    )
    return latency, warnings


def _time_pairs(
    pairs: Pairs,
    runs: Iterator[tuple[TimedRun, TimedRun]],
    wanted: int | None,
    report_progress: Callable[[float], None],
) -> None:
    """Add as many pairs of runs as were asked for, or else as make the ratio certain enough."""
    started = time.perf_counter()
    for before, after in runs:
        pairs.before.append(before)
        pairs.after.append(after)
        pairs.seconds = time.perf_counter() - started
        done = _done_of_adaptive(pairs) if wanted is None else _done_of_wanted(pairs, wanted)
        report_progress(min(1.0, done))
        if done >= 1:
            break


def _done_of_wanted(pairs: Pairs, wanted: int) -> float:
    return 1.0 if pairs.seconds >= ASKED_FOR_SECONDS else len(pairs.before) / wanted


def _done_of_adaptive(pairs: Pairs) -> float:
    """Return how much of the work is done; 1 ends it.

    Whether to go on depends on the width of the interval and never on where it lies, for a test
    that is repeated until it says yes says nothing (Chow and Robbins, Ann. Math. Statist. 36,
    1965, on sequential intervals of fixed width).
    """
    size = len(pairs.before)
    longest = longest_seconds(pairs.seconds / size)
    done = max(pairs.seconds / longest, size / MOST_PAIRS)
    if size < FEWEST_PAIRS or size % 10 or pairs.seconds < SHORTEST_SECONDS:
        return done
    ratios = pairs.ratios
    interval, ratio = median_interval(ratios), float(np.median(ratios))
    is_certain = interval is not None and interval.high - interval.low <= 2 * PRECISION * ratio
    return 1.0 if is_certain else done


def longest_seconds(pair_seconds: float) -> float:
    """Return how long pairs are timed at most, where nobody says how many."""
    return min(LONGEST_SECONDS, max(SMALL_MODEL_SECONDS, PAIRS_OF_LARGE_MODELS * pair_seconds))


def batched_feeds(feeds: Feeds, inputs: Sequence[TensorInfo], batch_size: int) -> Feeds | None:
    """Return feeds repeated along a free first axis to a batch; None where the model fixes it."""
    with_axes = [tensor for tensor in inputs if tensor.shape]
    if not with_axes or any(_is_fixed(tensor) for tensor in with_axes):
        return None
    names = {tensor.name for tensor in with_axes}
    if any(feeds[name].shape[0] != 1 for name in names):
        return None
    return {
        name: np.repeat(array, batch_size, axis=0) if name in names else array
        for name, array in feeds.items()
    }


def _runs(pair: LoadedPair, feeds: Feeds) -> bool:
    try:
        for session in (pair.before, pair.after):
            run(session, feeds)
    except ResourceError:
        raise
    except EngineError:
        return False
    return True


def _is_fixed(tensor: TensorInfo) -> bool:
    size = tensor.shape[0] if tensor.shape else 1
    return isinstance(size, int) and size > 0


def _summarize(runs: Sequence[TimedRun]) -> LatencySamples:
    seconds = [run.seconds for run in runs]
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return LatencySamples(
        samples_seconds=seconds,
        p50_seconds=float(p50),
        p90_seconds=float(p90),
        p99_seconds=float(p99),
    )
