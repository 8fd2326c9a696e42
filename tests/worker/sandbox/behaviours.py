"""Entry points for the sandbox's child that misbehave on request."""

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel

from worker.engine import runtime
from worker.engine.errors import InvalidModelError
from worker.engine.memory import PeakMemory
from worker.engine.requests import Operation, ReportProgress


class Told(BaseModel):
    """What the child says."""

    text: str


class Behave(Operation[Told]):
    """Ask the child to behave in one of these ways."""

    answer_type: ClassVar[type[BaseModel]] = Told

    behaviour: str
    workdir: Path
    input_path: Path | None = None
    other: Path | None = None


def behave(request: Behave, report_progress: ReportProgress) -> Told:
    """Do as asked."""
    report_progress("behaving", 0.5)
    return Told(text=BEHAVIOURS[request.behaviour](request) or "")


def _hang(_: Behave) -> None:
    time.sleep(60)


def _hang_in_operation(_: Behave) -> None:
    with runtime.bounded("running the model"):
        time.sleep(60)


def _watch_memory(_: Behave) -> str:
    with PeakMemory().watch() as watch:
        pass
    return str(watch.peak_bytes)


def _hang_with_grandchild(request: Behave) -> None:
    if pid := os.fork():
        (request.workdir / "grandchild").write_text(str(pid))
    time.sleep(60)


def _burn_processor_time(_: Behave) -> None:
    signal.raise_signal(signal.SIGXCPU)


def _eat_memory(_: Behave) -> None:
    eaten = []
    while True:
        eaten.append(np.ones(2**27, dtype=np.uint8))


def _abort_for_memory(_: Behave) -> None:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def _wrap_memory_error(_: Behave) -> None:
    try:
        np.ones(2**50, dtype=np.uint8)
    except MemoryError as error:
        raise InvalidModelError("cannot be loaded") from error


def _fill_the_disk(_: Behave) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/secret")
    raise InvalidModelError("cannot be written") from full


def _make_a_giant(_: Behave) -> None:
    Path("giant").write_bytes(bytes(2**20))


def _segfault(_: Behave) -> None:
    ctypes.string_at(0)


def _exit(_: Behave) -> None:
    os._exit(3)


def _refuse(_: Behave) -> None:
    raise InvalidModelError("the file is empty", code="empty_model")


def _refuse_because_of_itself(_: Behave) -> None:
    error = InvalidModelError("the file is empty", code="empty_model")
    raise error from error


def _blunder(_: Behave) -> None:
    raise LookupError("a secret detail")


def _print(_: Behave) -> None:
    for _ in range(2000):
        os.write(1, b"x" * 1000)
        os.write(2, b"y" * 1000)


def _read(request: Behave) -> str:
    path = request.other or request.input_path
    try:
        return (path or Path()).read_text()
    except PermissionError:
        return "denied"


def _write(request: Behave) -> str:
    try:
        (request.other or Path()).write_text("x")
    except PermissionError:
        return "denied"
    return "written"


def _litter(_: Behave) -> str:
    Path("stray").write_text("x")
    (Path.home() / "at-home").write_text("x")
    with tempfile.NamedTemporaryFile(delete=False) as file:
        return file.name


def _write_big_file(request: Behave) -> str:
    try:
        (request.workdir / "big").write_bytes(bytes(2**20))
    except OSError as error:
        return str(error.strerror)
    return "written"


def _connect(_: Behave) -> str:
    denied = []
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
        except PermissionError:
            denied.append(family.name)
    return " ".join(denied)


def _start_program(_: Behave) -> str:
    try:
        subprocess.run(["/bin/true"], check=True)
    except PermissionError:
        return "denied"
    return "started"


BEHAVIOURS: dict[str, Callable[[Behave], str | None]] = {
    "abort": lambda _: os.abort(),
    "abort for memory": _abort_for_memory,
    "answer": lambda _: "42",
    "answer at length": lambda _: "x" * 2**24,
    "blunder": _blunder,
    "burn processor time": _burn_processor_time,
    "connect": _connect,
    "eat memory": _eat_memory,
    "exit": _exit,
    "fill the disk": _fill_the_disk,
    "hang": _hang,
    "watch memory": _watch_memory,
    "hang in operation": _hang_in_operation,
    "hang with grandchild": _hang_with_grandchild,
    "litter": _litter,
    "print": _print,
    "read": _read,
    "refuse": _refuse,
    "refuse because of itself": _refuse_because_of_itself,
    "make a giant": _make_a_giant,
    "segfault": _segfault,
    "start program": _start_program,
    "tell environment": lambda _: " ".join(sorted(os.environ)),
    "tell flags": lambda _: f"{sys.flags.safe_path} {sys.flags.no_user_site} {hash('x')}",
    "wrap memory error": _wrap_memory_error,
    "write": _write,
    "write big file": _write_big_file,
}
