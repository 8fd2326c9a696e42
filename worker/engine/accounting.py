"""What a job costs the service: wall time, processor time and memory, stage by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from worker.engine.memory import PeakMemory
from worker.engine.report.spending import Spending, StageSpending


class Accounts:
    """Adds up what a job's stages spend; times count from its making."""

    def __init__(self) -> None:
        self.memory = PeakMemory()
        self._started = time.perf_counter()
        self._cpu_started = time.process_time()
        self._stages: dict[str, StageSpending] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Enter a stage; one that is entered again adds to what it spent before."""
        started, cpu_started = time.perf_counter(), time.process_time()
        with self.memory.watch() as watch:
            yield
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        before = self._stages.get(name)
        peak = watch.peak_bytes
        if before is not None:
            wall, cpu = wall + before.wall_seconds, cpu + before.cpu_seconds
            peak = max((it for it in (peak, before.peak_memory_bytes) if it), default=None)
        self._stages[name] = StageSpending(
            stage=name, wall_seconds=wall, cpu_seconds=cpu, peak_memory_bytes=peak
        )

    @property
    def durations_seconds(self) -> dict[str, float]:
        """Wall time of each stage that has ended."""
        return {name: stage.wall_seconds for name, stage in self._stages.items()}

    def total(self) -> Spending:
        """Return what was spent until now."""
        return Spending(
            stages=list(self._stages.values()),
            wall_seconds=time.perf_counter() - self._started,
            cpu_seconds=time.process_time() - self._cpu_started,
            peak_memory_bytes=self.memory.peak_bytes,
        )
