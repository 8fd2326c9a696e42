"""The child processes of a sandbox: how they start, wait and end."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from worker.sandbox.errors import ChildFailedError

SOURCE_ROOT = Path(__file__).parents[2]
INHERITED_VARIABLES = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_PATH")
INHERITED_PREFIX = "NVIDIA_"


class Child:
    """One child process, waiting for its request on `process.stdin`."""

    def __init__(self, entry_point: str) -> None:
        self.events, events_write = os.pipe()
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [
                    sys.executable, "-s", "-P", "-m", "worker.sandbox.child",
                    entry_point, str(events_write), str(os.getpid()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(events_write,),
                start_new_session=True,
                env=_environment(),
                cwd="/",
            )  # fmt: skip
        except OSError:
            os.close(self.events)
            raise
        finally:
            os.close(events_write)

    @property
    def pid(self) -> int:
        """The process id, and that of its session and group."""
        return self.process.pid

    @property
    def output(self) -> int:
        """The descriptor of what its libraries print."""
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        return self.process.stdout.fileno()

    def send(self, line: bytes) -> None:
        """Send the request; one that is dead already shows by the end of its events."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def end(self) -> int:
        """Kill what is left of the group, take back everything, return the exit status."""
        if self.process.returncode is None:  # else its number may be another group's by now
            with suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies
                os.killpg(self.pid, signal.SIGKILL)
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None  # noqa: S101 - both are pipes
            with suppress(BrokenPipeError):
                stream.close()
        os.close(self.events)
        return status


class Spawner:
    """Starts all children from one thread that lives as long as they may.

    The kernel kills a child when the *thread* that started it ends, so callers' threads must not.
    A caller takes a child that has been waiting, and another one starts to take its place.
    """

    def __init__(self, entry_point: str, spares: int) -> None:
        self._entry_point = entry_point
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._children: SimpleQueue[Child | OSError] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sandbox-spawner", daemon=True)
        self._thread.start()
        for _ in range(spares):
            self._orders.put(True)

    def take(self) -> Child:
        """Return a living child.

        Raises:
            ChildFailedError: the system cannot start another process.
        """
        while True:
            self._orders.put(True)
            child = self._children.get()
            if isinstance(child, OSError):
                message = f"cannot start a child process: {child.strerror}"
                raise ChildFailedError(message, code="crashed", was_killed=True) from child
            if child.process.poll() is None:
                return child
            child.end()

    def close(self) -> None:
        """End the spares, and with the thread every child still at work."""
        self._orders.put(False)
        self._thread.join()

    def _work(self) -> None:
        while self._orders.get():
            try:
                self._children.put(Child(self._entry_point))
            except OSError as error:
                self._children.put(error)
        while not self._children.empty():
            child = self._children.get()
            if isinstance(child, Child):
                child.end()


def _environment() -> dict[str, str]:
    """Return the child's whole environment: what makes it find its code, quiet and repeatable."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED_VARIABLES or name.startswith(INHERITED_PREFIX)
    }
    return inherited | {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(SOURCE_ROOT),
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "ORT_DISABLE_TELEMETRY": "1",
        # One thread, because sums in another order round differently.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # Each thread's own arena would reserve 64 MiB of the limited address space.
        "MALLOC_ARENA_MAX": "2",
    }
