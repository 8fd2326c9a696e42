"""The real service as processes, for tests that talk to it over HTTP."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from app import processes

ONNXPRESS = [sys.executable, "-P", "-m", "app.cli"]
START_SECONDS = 60


def plain_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with just these settings of the service."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("ONNXPRESS_")}
    return ours | dict(settings)


class Command:
    """A running `onnxpress ...` command; its output is kept in a file."""

    def __init__(self, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the command
        self._process = processes.spawn(
            [*ONNXPRESS, *arguments],
            environment=plain_environment(settings),
            output=self._output.fileno(),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        return os.pread(self._output.fileno(), 10**6, 0).decode()

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal, wait for the end and return the exit status."""
        self._process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        processes.kill(self._process)
        sys.stdout.write(self.output())  # pytest shows it where a test failed
        self._output.close()
        return self._process.returncode


class Up(Command):
    """A running `onnxpress up` on a data folder."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        arguments = ["up", "--port", str(port), "--data-dir", str(data_dir)]
        super().__init__(arguments, settings or {})
        wait_for(lambda: "ready at" in self.output() or self._process.poll() is not None)
        assert "ready at" in self.output(), self.output()
        self.url = self.output().partition("ready at ")[2].split()[0]


def wait_for(condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    """Wait until the condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    """Whether the API says that it is ready."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK
    return False


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in lists for child in children.split()]


def descendants(pid: int) -> list[int]:
    """Return all processes below a process."""
    return [below for child in children(pid) for below in (child, *descendants(child))]


def command_line(pid: int) -> str:
    """Return a process' command line, empty where it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
