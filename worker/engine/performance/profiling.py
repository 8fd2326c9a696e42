"""Kernel times of both models, from onnxruntime's profiler."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from worker.engine.errors import PassError
from worker.engine.performance.optimized import OptimizedGraph, read_optimized
from worker.engine.runtime import Session, bounded, open_profiled_session, run
from worker.engine.samples import Feeds

MOST_RUNS = 20
FEWEST_RUNS = 3
SECONDS = 1.5
LONGEST_SECONDS = 4.5
"""What the fewest runs may take; above it nothing is profiled."""
MOST_EVENTS = 20_000
MOST_BYTES = 64 * 2**20
LOOPS = {"Loop", "Scan", "SequenceMap"}
LONGEST_LOOPING_SECONDS = 0.02
"""Of a run, where loops make so many kernels that only time bounds their number."""
EVENT_SUFFIX = "_kernel_time"
END_OF_RUN = "model_run"


@dataclass(frozen=True)
class Kernel:
    """One kernel's time in a run, without that of the kernels in its body."""

    node: str
    op_type: str
    seconds: float


@dataclass(frozen=True)
class Profile:
    """One model's kernels, and the graph that onnxruntime made of it."""

    kernels: list[Kernel]
    graph: OptimizedGraph

    @property
    def seconds(self) -> float:
        """Of all kernels in a run."""
        return sum(kernel.seconds for kernel in self.kernels)

    def count_of(self, op_type: str) -> int:
        """Return the number of kernels of an operator type."""
        return sum(kernel.op_type == op_type for kernel in self.kernels)

    def seconds_of(self, op_types: Iterable[str]) -> float:
        """Return the seconds of some operator types in a run."""
        wanted = set(op_types)
        return sum(kernel.seconds for kernel in self.kernels if kernel.op_type in wanted)


def profiled_runs(op_counts: Mapping[str, int], seconds: float) -> int | None:
    """Return how many runs of both models to profile, of so many seconds together.

    The first run of each is a warm-up. None where that would take too long, or make too many
    events.
    """
    if LOOPS & set(op_counts):
        return FEWEST_RUNS if seconds <= LONGEST_LOOPING_SECONDS else None
    nodes = max(1, sum(op_counts.values()))
    if FEWEST_RUNS * seconds > LONGEST_SECONDS or FEWEST_RUNS * nodes > MOST_EVENTS:
        return None
    return max(FEWEST_RUNS, min(MOST_RUNS, int(SECONDS / seconds), MOST_EVENTS // nodes))


def profiling_seconds(seconds: float) -> float:
    """Return about what profiling takes, beside loading, of runs that take so long together."""
    return max(FEWEST_RUNS * seconds, min(MOST_RUNS * seconds, SECONDS))


def profile_in_turn(
    before: Path, after: Path, feeds: Feeds, runs: int, workdir: Path
) -> tuple[Profile, Profile]:
    """Run both models in turn on one thread and return their kernels' times.

    Raises:
        EngineError: the models do not fit the memory once more, or what was recorded is too long.
    """
    folders = [workdir / "before", workdir / "after"]
    sessions: list[Session] = []
    for path, folder in zip((before, after), folders, strict=True):
        folder.mkdir()
        optimized = folder / "optimized.onnx"
        sessions.append(open_profiled_session(path, folder / "profile", optimized))
    for _ in range(runs):
        for session in sessions:
            run(session, feeds)
    first, second = (
        Profile(
            read_kernels(_read_events(Path(session.end_profiling()))),
            read_optimized(folder / "optimized.onnx"),
        )
        for session, folder in zip(sessions, folders, strict=True)
    )
    return first, second


def _read_events(path: Path) -> list[dict[str, Any]]:
    """Return what the profiler wrote, whose length also depends on the names in the model."""
    with bounded("reading the profile", PassError):
        if path.stat().st_size > MOST_BYTES:
            raise PassError(f"the profile of its kernels is over {MOST_BYTES >> 20} MiB")
        events: list[dict[str, Any]] = json.loads(path.read_text())
    return events


def read_kernels(events: Iterable[dict[str, Any]]) -> list[Kernel]:
    """Return each kernel's median over the runs but the first, the dearest first.

    The profiler writes an event when it ends: those in a body before the node that holds it, and
    those of a run before that run.
    """
    runs: list[dict[tuple[str, str], float]] = []
    current: dict[tuple[str, str], float] = defaultdict(float)
    open_events: list[tuple[int, int]] = []
    for event in events:
        if event.get("name") == END_OF_RUN:
            runs.append(current)
            current, open_events = defaultdict(float), []
        elif event.get("cat") == "Node" and event["name"].endswith(EVENT_SUFFIX):
            start, duration, in_body = event["ts"], event["dur"], 0
            while open_events and open_events[-1][0] >= start:
                in_body += open_events.pop()[1]
            open_events.append((start, duration))
            key = (event["name"].removesuffix(EVENT_SUFFIX), event["args"]["op_name"])
            current[key] += max(0, duration - in_body) / 1e6
    counted = runs[1:] or runs
    keys = dict.fromkeys(key for each in counted for key in each)
    kernels = [Kernel(*key, median(each.get(key, 0.0) for each in counted)) for key in keys]
    return sorted(kernels, key=lambda kernel: -kernel.seconds)
