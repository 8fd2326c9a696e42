"""The parent's side of one call: it listens to the child, keeps time, and says why it ended."""

import json
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import Any

import structlog

from worker.sandbox.errors import ChildFailedError, StoppedError
from worker.sandbox.limits import GIB, Limits, resident_bytes
from worker.sandbox.spawner import Child

OnProgress = Callable[[str, float], None]
ShouldStop = Callable[[], bool]

TICK_SECONDS = 0.1
MAX_EVENT_BYTES = 256 * 2**20
MAX_TAIL_BYTES = 16 * 2**10
MEMORY_WORDS = ("bad_alloc", "MemoryError", "Failed to allocate", "Cannot allocate memory")

logger = structlog.get_logger()


class Conversation:
    """One call's events, output and limits."""

    def __init__(
        self,
        child: Child,
        limits: Limits,
        on_progress: OnProgress | None,
        should_stop: ShouldStop | None,
    ) -> None:
        self._child = child
        self._limits = limits
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._deadline = time.monotonic() + limits.wall_seconds
        self._buffer = bytearray()
        self._output = b""
        self._operation: str | None = None
        self.stage = "starting"

    def last_event(self) -> dict[str, Any] | None:
        """Listen until the child answers or ends (None).

        Raises:
            ChildFailedError: it went over the wall time, or CUDA's watched memory.
            StoppedError: the caller wants no answer any more.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._child.events, selectors.EVENT_READ)
            selector.register(self._child.output, selectors.EVENT_READ)
            while True:
                self._check_limits()
                for key, _ in selector.select(TICK_SECONDS):
                    chunk = os.read(key.fd, 2**16)
                    if key.fd == self._child.output:
                        self._output = (self._output + chunk)[-MAX_TAIL_BYTES:]
                        if not chunk:
                            selector.unregister(key.fd)
                    elif not chunk:
                        self._read_rest_of_output()
                        return None
                    elif (event := self._take(chunk)) is not None:
                        return event

    def failure(self, status: int) -> ChildFailedError:
        """Return why a child that ended without an answer did so, by its exit status."""
        logger.warning("sandbox.died", status=status, stage=self.stage, output=self._tail)
        ending = -status
        if ending == signal.SIGALRM:
            return self._out_of_time("OPERATION_TIME_LIMIT", self._limits.operation_seconds)
        if ending == signal.SIGXCPU:
            return self._out_of_time(self._limits.wall_setting, self._limits.wall_seconds)
        if any(word in self._tail for word in MEMORY_WORDS):
            return self.out_of_memory()
        if ending == signal.SIGKILL:
            message = (
                f"the process was killed while {self._activity}, by an operator or because the "
                "machine ran out of memory; retry the job, or give the machine more memory"
            )
            return ChildFailedError(message, code="crashed", was_killed=True)
        if ending <= 0:
            return self.internal_error(f"exit status {status}")
        message = (
            f"the runtime crashed with {signal.Signals(ending).name} while {self._activity}; the "
            "model or its data make onnxruntime fail, so try another method, other data or a "
            "re-export of the model"
        )
        return ChildFailedError(message, code="crashed")

    def out_of_memory(self) -> ChildFailedError:
        """Return the error of a child that needed more memory than its limit."""
        message = (
            f"{self._activity} needs more than the {self._limits.memory_bytes / GIB:.1f} GiB of "
            "memory allowed; use a smaller model or smaller samples, or raise "
            "ONNXPRESS_MEMORY_LIMIT_FACTOR or ONNXPRESS_MEMORY_LIMIT_BASE_BYTES"
        )
        return ChildFailedError(message, code="out_of_memory")

    def disk_full(self) -> ChildFailedError:
        """Return the error of a child that could not write what it made."""
        message = f"the disk was full while {self._activity}; free some of it, or wait"
        return ChildFailedError(message, code="disk_full", was_killed=True)

    def file_too_large(self) -> ChildFailedError:
        """Return the error of a child that made a larger file than it may."""
        message = (
            f"{self._activity} makes a file of more than the {self._limits.file_bytes} bytes "
            "allowed; use a smaller model, or raise ONNXPRESS_MAX_UNPACKED_BYTES"
        )
        return ChildFailedError(message, code="file_too_large")

    def internal_error(self, details: str) -> ChildFailedError:
        """Log the details of a mistake of ours; return the error that tells nothing of them."""
        logger.error("sandbox.internal_error", stage=self.stage, details=details, output=self._tail)
        message = "an internal error of the service; its log has the details"
        return ChildFailedError(message, code="internal_error")

    @property
    def _activity(self) -> str:
        return f"{self._operation} ({self.stage})" if self._operation else self.stage

    @property
    def _tail(self) -> str:
        return self._output.decode(errors="replace")

    def _out_of_time(self, setting: str, seconds: float) -> ChildFailedError:
        message = (
            f"{self._activity} was stopped after {seconds:g} seconds; use a smaller model or fewer "
            f"samples, or raise ONNXPRESS_{setting}_SECONDS"
        )
        return ChildFailedError(message, code="time_limit")

    def _check_limits(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise StoppedError
        if time.monotonic() > self._deadline:
            raise self._out_of_time(self._limits.wall_setting, self._limits.wall_seconds)
        if self._limits.uses_cuda and resident_bytes(self._child.pid) > self._limits.memory_bytes:
            raise self.out_of_memory()

    def _take(self, chunk: bytes) -> dict[str, Any] | None:
        """Take in a part of the events; return the last event once it is complete."""
        self._buffer += chunk
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise ChildFailedError("the answer is too long", code="crashed")
        if b"\n" not in chunk:
            return None
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            if "progress" not in event:
                return event
            progress = event["progress"]
            self.stage, self._operation = progress["stage"], progress["operation"]
            if self._on_progress is not None:
                self._on_progress(self.stage, progress["progress"])
        return None

    def _read_rest_of_output(self) -> None:
        """Take what a dead child left in its output pipe, without waiting for anyone else."""
        os.set_blocking(self._child.output, False)
        try:
            while chunk := os.read(self._child.output, 2**16):
                self._output = (self._output + chunk)[-MAX_TAIL_BYTES:]
        except BlockingIOError:
            pass
