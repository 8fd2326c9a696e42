"""Latency of the original and the compressed model, measured in turn in one process."""

from collections.abc import Callable, Sequence

import numpy as np

from worker.engine.errors import EngineError, ResourceError
from worker.engine.report.timings import Latency, LatencySamples
from worker.engine.requests import TensorInfo
from worker.engine.runtime import provider_in_use, run
from worker.engine.samples import Feeds
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair, time_in_turn


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
    before, after = time_in_turn(pair, feeds, options.runs, report_progress)
    latency = Latency(
        threads=options.threads,
        batch_size=batch_size,
        execution_provider=provider_in_use(pair.after),
        before=_summarize(before),
        after=_summarize(after),
        ratio=float(np.median(np.asarray(after) / np.asarray(before))),
        load_seconds_before=pair.load_seconds_before,
        load_seconds_after=pair.load_seconds_after,
    )
    return latency, warnings


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


def _summarize(seconds: list[float]) -> LatencySamples:
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99])
    return LatencySamples(
        samples_seconds=seconds,
        p50_seconds=float(p50),
        p90_seconds=float(p90),
        p99_seconds=float(p99),
    )
