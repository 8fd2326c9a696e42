"""A part of the supervised service: one process, its log file and its deaths."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from typing_extensions import override

from app import processes

LOG_BYTES = 10 * 2**20
LOG_FILES = 3
DEATHS_A_MINUTE = 5
LONGEST_PAUSE_SECONDS = 10


class PartError(Exception):
    """A part keeps dying; the message holds its last words."""


@dataclass(frozen=True)
class Program:
    """How a part is started; `prepare` runs before each start."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    inherited: Sequence[int] = ()
    prepare: Callable[[], None] = field(default=lambda: None)


class LossyLog(RotatingFileHandler):
    """A rotated log that loses lines while the disk is full, and does not fill the terminal."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line."""


class Part:
    """One supervised process; what it prints goes to `<log folder>/<name>.log`, rotated."""

    def __init__(self, program: Program, log_folder: Path, *, echo: bool) -> None:
        self.name = program.name
        self._program = program
        self._echo = echo
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1
        self._unfinished_line = b""
        self._last_lines: deque[str] = deque(maxlen=10)
        self._deaths: deque[float] = deque(maxlen=DEATHS_A_MINUTE)
        self._start_at = 0.0
        self._log_path = log_folder / f"{self.name}.log"
        self._log = LossyLog(
            self._log_path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; what it prints waits in a pipe for `collect_output`."""
        self._program.prepare()
        self._output, theirs = os.pipe()
        os.set_blocking(self._output, False)
        try:
            self._process = processes.spawn(
                self._program.command,
                environment=self._program.environment,
                output=theirs,
                inherited=self._program.inherited,
            )
        finally:
            os.close(theirs)

    def tend(self) -> None:
        """Collect output, and start a dead process again after a pause that grows.

        Raises:
            PartError: it died too often within a minute.
        """
        self.collect_output()
        if self.is_running:
            return
        if self._process is None:
            if time.monotonic() >= self._start_at:
                self.start()
            return
        cause = _describe(self._process.returncode)
        self.kill()
        self._count_death()
        sys.stderr.write(f"onnxpress: the {self.name} ended ({cause}); starting it again\n")

    def collect_output(self) -> None:
        """Move what the process has printed to its log, and to standard error where echoed."""
        with suppress(BlockingIOError):
            while self._output >= 0 and (chunk := os.read(self._output, 65536)):
                *lines, self._unfinished_line = (self._unfinished_line + chunk).split(b"\n")
                for line in lines:
                    self._keep(line.decode(errors="replace"))

    def request_stop(self) -> None:
        """Ask the process to end in good order."""
        if self._process is not None and self.is_running:
            self._process.terminate()

    def kill(self) -> None:
        """End the process and its descendants at once, and collect its last words."""
        if self._process is None:
            return
        processes.kill(self._process)
        self.collect_output()
        os.close(self._output)
        self._process, self._output = None, -1

    def close(self) -> None:
        """End the process, if it still runs, and close the log."""
        self.kill()
        with suppress(OSError):  # the disk is full: its last lines are lost
            self._log.close()

    def last_words(self) -> str:
        """Return where the log is and its last lines, for people."""
        lines = "".join(f"\n  {line}" for line in self._last_lines)
        return f"its log is {self._log_path} and ends with:{lines or ' nothing'}"

    def _count_death(self) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        recent = sum(now - death < 60 for death in self._deaths)
        if recent == DEATHS_A_MINUTE:
            raise PartError(f"the {self.name} died {recent} times in a minute; {self.last_words()}")
        self._start_at = now + min(0.25 * 2 ** (recent - 1), LONGEST_PAUSE_SECONDS)

    def _keep(self, line: str) -> None:
        self._last_lines.append(line)
        self._log.emit(logging.makeLogRecord({"msg": line}))
        if self._echo:
            sys.stderr.write(f"{self.name:>6} | {line}\n")


def _describe(return_code: int) -> str:
    if return_code < 0:
        return f"killed by {signal.Signals(-return_code).name}"
    return f"exit status {return_code}"
