"""Everything about speed and memory that is measured of both models."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from worker.engine.errors import EngineError
from worker.engine.memory import PeakMemory
from worker.engine.performance.latency import compare_latency
from worker.engine.performance.loading import compare_loading
from worker.engine.performance.profiling import (
    Kernel,
    Profile,
    profile_in_turn,
    profiled_runs,
    profiling_seconds,
)
from worker.engine.performance.reasons import explain
from worker.engine.report.kernels import KernelProfile, KernelTime, OpTypeTime
from worker.engine.report.timings import Latency, Loading
from worker.engine.requests import ModelInfo
from worker.engine.samples import Feeds
from worker.engine.spec import LatencyOptions
from worker.engine.timing import LoadedPair

LATENCY_SPAN = 0.7
LONGEST_RUN_SECONDS = 3.0
"""Of both models together, above which neither is loaded nor profiled once more."""
LONGEST_LOAD_SECONDS = 3.0
"""Of both models together, above which they are not profiled: that loads them again, and has
onnxruntime write both graphs out."""
NO_TIME = "no time of the budget was left to measure {}"
MOST_OP_TYPES = 40
SLOWEST_KERNELS = 10


@dataclass(frozen=True)
class Subjects:
    """Both models: their files, what is loaded of them, and a description of the original."""

    before: Path
    after: Path
    pair: LoadedPair
    info: ModelInfo
    op_counts_after: dict[str, int]


@dataclass
class Performance:
    """What was measured, and what could not be."""

    latency: Latency
    loading: Loading | None = None
    kernels: KernelProfile | None = None
    warnings: list[str] = field(default_factory=list)


def compare_performance(
    subjects: Subjects,
    feeds: Sequence[Feeds],
    options: LatencyOptions,
    memory: PeakMemory,
    report_progress: Callable[[float], None],
    seconds_left: Callable[[], float] = lambda: inf,
) -> Performance:
    """Measure latency, and on a CPU also what loading takes and where the time goes.

    `seconds_left` says how long a job with a budget may still take: what does not fit is left out.
    """
    latency, warnings = compare_latency(
        subjects.pair,
        feeds,
        subjects.info.inputs,
        options,
        lambda fraction: report_progress(LATENCY_SPAN * fraction),
    )
    performance = Performance(latency, warnings=warnings)
    run_seconds = latency.before.p50_seconds + latency.after.p50_seconds
    pair = subjects.pair
    once = pair.load_seconds_before + pair.load_seconds_after + run_seconds
    if seconds_left() < once:
        warnings.append(NO_TIME.format("loading and single kernels"))
    elif latency.execution_provider == "cpu" and run_seconds <= LONGEST_RUN_SECONDS:
        try:
            files = (subjects.before, subjects.after)
            loading = compare_loading(*files, feeds[0], memory, options.threads)
            report_progress((1 + LATENCY_SPAN) / 2)
            performance.latency = _with_loads(latency, loading)
            performance.loading = loading
            load_seconds = loading.before.load_seconds + loading.after.load_seconds
            if seconds_left() < load_seconds + profiling_seconds(run_seconds):
                warnings.append(NO_TIME.format("single kernels"))
            elif load_seconds <= LONGEST_LOAD_SECONDS:
                performance.kernels = _compare_kernels(subjects, feeds[0], latency)
        except EngineError as error:  # no room for more sessions beside the pair
            warnings.append(f"not all of speed and memory could be measured: {error}")
    return performance


def _with_loads(latency: Latency, loading: Loading) -> Latency:
    """Return latencies with times of loading that were taken in turn."""
    return latency.model_copy(
        update={
            "load_seconds_before": loading.before.load_seconds,
            "load_seconds_after": loading.after.load_seconds,
        }
    )


def _compare_kernels(subjects: Subjects, feeds: Feeds, latency: Latency) -> KernelProfile | None:
    batch = latency.batch_size
    seconds = (latency.before.p50_seconds + latency.after.p50_seconds) / batch
    counts = {
        name: max(subjects.info.op_counts.get(name, 0), subjects.op_counts_after.get(name, 0))
        for name in {**subjects.info.op_counts, **subjects.op_counts_after}
    }
    runs = profiled_runs(counts, seconds * latency.threads)
    if runs is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        before, after = profile_in_turn(subjects.before, subjects.after, feeds, runs, Path(folder))
    return KernelProfile(
        runs=runs - 1,
        seconds_before=before.seconds,
        seconds_after=after.seconds,
        op_types=_op_types(before, after),
        slowest_before=_slowest(before.kernels),
        slowest_after=_slowest(after.kernels),
        reasons=[] if latency.is_faster else explain(before, after),
    )


def _op_types(before: Profile, after: Profile) -> list[OpTypeTime]:
    op_types = {kernel.op_type for kernel in before.kernels + after.kernels}
    times = [
        OpTypeTime(
            op_type=op_type,
            count_before=before.count_of(op_type),
            count_after=after.count_of(op_type),
            seconds_before=before.seconds_of([op_type]),
            seconds_after=after.seconds_of([op_type]),
        )
        for op_type in op_types
    ]
    times.sort(key=lambda time: (-time.seconds_after, -time.seconds_before, time.op_type))
    return times[:MOST_OP_TYPES]


def _slowest(kernels: Sequence[Kernel]) -> list[KernelTime]:
    return [
        KernelTime(node=kernel.node, op_type=kernel.op_type, seconds=kernel.seconds)
        for kernel in kernels[:SLOWEST_KERNELS]
    ]
