"""What one sandboxed call may use, and the kernel limits that hold a child to it."""

import math
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
MAX_OPEN_FILES = 1024
MOST_KILLABLE = "1000"


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that one call may use.

    A process that uses CUDA maps far more memory than it uses, so `uses_cuda` has its memory
    watched by the parent instead of limited by the kernel.
    """

    wall_seconds: float = 60
    wall_setting: str = "JOB_TIME_LIMIT"
    """What an operator raises where the wall time is too short."""
    operation_seconds: float = 60
    """One check, session load or run of a model."""
    memory_bytes: int = 4 * GIB
    file_bytes: int = 8 * GIB
    """The largest file it may write."""
    uses_cuda: bool = False

    @property
    def cpu_seconds(self) -> int:
        """Processor time: all cores for the whole wall time, should nobody be left to watch it."""
        return math.ceil(self.wall_seconds) * (os.cpu_count() or 1) + 1


def limit_this_process(limits: Limits) -> None:
    """Set the kernel's limits on this process, for good.

    The number of processes is left alone: that limit counts everything its user runs. Where the
    kernel can, confinement forbids starting programs altogether.
    """
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _set(resource.RLIMIT_FSIZE, limits.file_bytes)
    _set(resource.RLIMIT_CPU, limits.cpu_seconds)
    if not limits.uses_cuda:
        _set(resource.RLIMIT_AS, limits.memory_bytes)
    if sys.platform == "linux":
        # Should the machine run out of memory, this process is the one to go.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(MOST_KILLABLE)


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * resource.getpagesize()


def _set(kind: int, value: int) -> None:
    """Lower a limit; a system that lacks it, or has a lower one already, is left as it is."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(kind, (value, value))
