"""Latency of the original and the compressed model, measured in turn in one process."""

import time
from collections.abc import Sequence

import numpy as np

from worker.engine.report import Latency, LatencySamples
from worker.engine.requests import TensorInfo
from worker.engine.runtime import Session, provider_in_use, run
from worker.engine.samples import Feeds
from worker.engine.spec import LatencyOptions

BUDGET_SECONDS = 20.0
WARM_UP_RUNS = 3


def batched_feeds(feeds: Feeds, inputs: Sequence[TensorInfo], batch_size: int) -> Feeds | None:
    """Return feeds repeated along a free first axis to a batch; None where the model fixes it."""
    batch_inputs = [tensor for tensor in inputs if tensor.shape]
    if not batch_inputs or any(_is_fixed(tensor) for tensor in batch_inputs):
        return None
    names = {tensor.name for tensor in batch_inputs}
    if any(feeds[name].shape[0] != 1 for name in names):
        return None
    return {
        name: np.repeat(array, batch_size, axis=0) if name in names else array
        for name, array in feeds.items()
    }


def measure_latency(
    before: Session, after: Session, feeds: Sequence[Feeds], options: LatencyOptions
) -> tuple[list[float], list[float]]:
    """Return the seconds of each timed run of both models, in pairs.

    Each pair takes the same feeds, which go round; who starts alternates, so that drift of the
    machine meets both. Stops early where it would take over 20 seconds, after a pair at least.
    """
    started = time.perf_counter()
    for _ in range(WARM_UP_RUNS):
        _timed(before, feeds[0])
        _timed(after, feeds[0])
        if time.perf_counter() - started > BUDGET_SECONDS / 4:
            break
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(options.runs):
        current = feeds[index % len(feeds)]
        order = (0, 1) if index % 2 == 0 else (1, 0)
        for which in order:
            times[which].append(_timed((before, after)[which], current))
        if time.perf_counter() - started > BUDGET_SECONDS:
            break
    return times


def describe_latency(
    times: tuple[list[float], list[float]],
    options: LatencyOptions,
    batch_size: int,
    load_seconds: tuple[float, float],
    session: Session,
) -> Latency:
    """Return the report's part on the times of both models."""
    ratios = np.asarray(times[1]) / np.asarray(times[0])
    return Latency(
        threads=options.threads,
        batch_size=batch_size,
        execution_provider=provider_in_use(session),
        before=_summarize(times[0]),
        after=_summarize(times[1]),
        ratio=float(np.median(ratios)),
        load_seconds_before=load_seconds[0],
        load_seconds_after=load_seconds[1],
    )


def _is_fixed(tensor: TensorInfo) -> bool:
    size = tensor.shape[0] if tensor.shape else 1
    return isinstance(size, int) and size > 0


def _timed(session: Session, feeds: Feeds) -> float:
    started = time.perf_counter()
    run(session, feeds)
    return time.perf_counter() - started


def _summarize(seconds: list[float]) -> LatencySamples:
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return LatencySamples(
        samples_seconds=seconds,
        p50_seconds=float(p50),
        p90_seconds=float(p90),
        p99_seconds=float(p99),
    )
