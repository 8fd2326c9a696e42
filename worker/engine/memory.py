"""The resident memory of this process: now, at its peak, and at the peak of a part of its work."""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STATUS = Path("/proc/self/status")
STATM = Path("/proc/self/statm")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = b"5"
"""What makes the kernel forget the peak: proc_pid_clear_refs(5), Linux 4.0."""


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None where the system does not tell."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return None


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process, since the last reset where there was one."""
    try:
        # getrusage(2) counts what the parent held before exec; proc_pid_status(5) does not.
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # macOS counts in bytes


def give_back_free_memory() -> bool:
    """Return freed memory to the system, so that what is allocated next shows as growth.

    Returns False where the C library has no such call, as on macOS and with musl.
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return False
    return True


@dataclass
class Watch:
    """A part of the work; `peak_bytes` is of that part alone, None where it cannot be told."""

    highest: int = 0
    peak_bytes: int | None = None


class PeakMemory:
    """The peak of this process, and of parts of its work, which may lie within one another.

    The kernel keeps a single peak for each process. Its resets go through here, so that none
    loses what another still counts; make one of these for all that a process does.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._open: list[Watch] = []

    @property
    def peak_bytes(self) -> int:
        """The peak of the process so far."""
        return max(self._highest, peak_memory_bytes())

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """Watch a part of the work; its peak is known when it ends."""
        watch = Watch()
        is_reset = self._restart()
        self._open.append(watch)
        try:
            yield watch
        finally:
            self._open.remove(watch)
            if is_reset:
                watch.peak_bytes = max(watch.highest, peak_memory_bytes())

    def _restart(self) -> bool:
        """Have the kernel count from now on; False where it does not do so."""
        before = peak_memory_bytes()
        self._highest = max(self._highest, before)
        for watch in self._open:
            watch.highest = max(watch.highest, before)
        try:
            # Without O_TRUNC, which confinement does not grant.
            descriptor = os.open(CLEAR_REFS, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, RESET_PEAK)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True
