"""What it takes to load each model and run it for the first time: seconds and memory."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from worker.engine.memory import PeakMemory, give_back_free_memory, resident_bytes
from worker.engine.report.timings import FirstLoad, Loading
from worker.engine.runtime import Session, open_session, run
from worker.engine.samples import Feeds

ROUNDS = 5
ROUNDS_SECONDS = 1.0
"""After this long no further round starts; the first is always whole."""


def compare_loading(
    before: Path, after: Path, feeds: Feeds, memory: PeakMemory, threads: int
) -> Loading:
    """Load both models from their files in turn on the CPU, running each once; return medians.

    Memory is what this process grows by: the kernel's peak is set back before a load, and what
    was freed earlier is returned to the system first. onnxruntime itself, some 10 MiB, is there
    already and not counted. Growth into holes in pages that could not be returned is missed, and
    the kernel counts in batches of pages: against processes that load a single model, the error
    was under 4 MiB or a tenth.

    Raises:
        EngineError: this third session does not fit the memory beside the other two.
    """
    started = time.perf_counter()
    rounds: list[tuple[FirstLoad, FirstLoad]] = []
    while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - started < ROUNDS_SECONDS):
        first = _load_once(before, feeds, memory, threads)
        rounds.append((first, _load_once(after, feeds, memory, threads)))
    return Loading(
        loads=len(rounds),
        before=_medians([first for first, _ in rounds]),
        after=_medians([second for _, second in rounds]),
    )


def _load_once(path: Path, feeds: Feeds, memory: PeakMemory, threads: int) -> FirstLoad:
    is_growth_visible = give_back_free_memory()
    held_before = resident_bytes()
    with memory.watch() as watch:
        session, load_seconds = _timed(lambda: open_session(path, threads=threads))
        _, run_seconds = _timed(lambda: run(session, feeds))
        held = resident_bytes()
    if not is_growth_visible:
        held_before = None
    return FirstLoad(
        load_seconds=load_seconds,
        run_seconds=run_seconds,
        peak_memory_bytes=_growth(held_before, watch.peak_bytes),
        memory_bytes=_growth(held_before, held),
    )


def _timed(work: Callable[[], Session]) -> tuple[Session, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _growth(start: int | None, end: int | None) -> int | None:
    return None if start is None or end is None else max(0, end - start)


def _medians(loads: list[FirstLoad]) -> FirstLoad:
    return FirstLoad(
        load_seconds=median(load.load_seconds for load in loads),
        run_seconds=median(load.run_seconds for load in loads),
        peak_memory_bytes=_median_bytes([load.peak_memory_bytes for load in loads]),
        memory_bytes=_median_bytes([load.memory_bytes for load in loads]),
    )


def _median_bytes(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(median(known)) if known else None
