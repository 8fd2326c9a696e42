"""The sandbox's child process: it imports the engine, takes one request, limits itself, answers.

Started as `python -s -P -m worker.sandbox.child ENTRY_POINT EVENTS_FD PARENT_PID`. The request is
one JSON line on stdin, whose end afterwards means that the parent is gone. Events are JSON lines on
`EVENTS_FD`: stdout and stderr belong to the libraries.
"""

import errno
import importlib
import json
import os
import signal
import sys
import sysconfig
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter

from worker.engine import runtime
from worker.engine.errors import EngineError
from worker.sandbox.confinement import Access, confine, die_with_parent
from worker.sandbox.limits import Limits, limit_this_process

SYSTEM_PATHS = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
    "/etc/localtime", "/sys", "/dev/urandom", "/dev/random",
    # of /proc not the other processes, whose environments root may read
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys", "/proc/filesystems",
    "/proc/driver", "/proc/devices", "/proc/modules",
)  # fmt: skip
SECONDS_BETWEEN_EVENTS = 0.05

_SHORTAGES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EFBIG: "file_too_large",
}

Entry = Callable[[Any, Callable[[str, float], None]], BaseModel]


class Events:
    """The child's side of the events: what the parent learns of its work."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._sent: tuple[str, str | None] | None = None
        self._sent_at = 0.0
        self._stage = "starting"
        self._progress = 0.0

    def report_progress(self, stage: str, progress: float) -> None:
        """Tell stage and progress, many times a second at most."""
        self._stage, self._progress = stage, progress
        self._tell(None)

    def announce(self, operation: str) -> None:
        """Tell which bounded operation starts."""
        self._tell(operation)

    def send(self, event: dict[str, Any]) -> None:
        """Send one event."""
        data = memoryview(json.dumps(event).encode() + b"\n")
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _tell(self, operation: str | None) -> None:
        now = time.monotonic()
        what = (self._stage, operation)
        if what == self._sent and now - self._sent_at < SECONDS_BETWEEN_EVENTS:
            return
        self._sent, self._sent_at = what, now
        progress = {"stage": self._stage, "progress": self._progress, "operation": operation}
        self.send({"progress": progress})


def main() -> None:
    """Serve one request."""
    entry_point, descriptor, parent = sys.argv[1:]
    die_with_parent(int(parent))
    module, _, function = entry_point.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    adapter = TypeAdapter[Any](get_type_hints(entry, include_extras=True)["request"])

    line = sys.stdin.buffer.readline()
    if not line:
        return
    call = json.loads(line)
    limits, request = Limits(**call["limits"]), call["request"]
    limit_this_process(limits)
    confine(_access(request, entry_point, limits))
    threading.Thread(target=_die_when_stdin_ends, daemon=True).start()
    _live_in(Path(request["workdir"]))
    events = Events(int(descriptor))
    runtime.set_operation_limit(limits.operation_seconds, events.announce)
    events.send(_outcome(lambda: entry(adapter.validate_python(request), events.report_progress)))


def _outcome(work: Callable[[], BaseModel]) -> dict[str, Any]:
    """Return the last event: an answer, an engine's error or a failure of our own."""
    try:
        # by way of text, in which numbers that are not finite become null, as JSON wants
        return {"answer": json.loads(work().model_dump_json())}
    except Exception as error:  # noqa: BLE001 - the boundary of the process: nothing gets past it
        for cause in _causes(error):
            if (code := _shortage(cause)) is not None:
                return {"failure": {"code": code, "traceback": ""}}
        if isinstance(error, EngineError):
            kind = type(error).__name__
            return {"error": {"type": kind, "code": error.code, "message": str(error)}}
        return {"failure": {"code": "internal_error", "traceback": traceback.format_exc()}}


def _shortage(error: Exception) -> str | None:
    """Return the code of what ran out, if that is what an error means."""
    if runtime.is_out_of_memory(error):
        return "out_of_memory"
    return _SHORTAGES.get(error.errno or 0) if isinstance(error, OSError) else None


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """Yield an error and those at its root, whoever wrapped them."""
    seen: set[int] = set()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        if isinstance(error, Exception):
            yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


def _access(request: dict[str, Any], entry_point: str, limits: Limits) -> Access:
    """Return what the engine needs: Python, its own sources, and the request's paths."""
    packages = {"worker", entry_point.partition(".")[0]}
    sources = [Path(folder) for name in packages for folder in sys.modules[name].__path__]
    python = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values()]
    inputs = [value for name, value in request.items() if name.endswith("_path") and value]
    outputs = [value for name, value in request.items() if name.endswith("_folder") and value]
    # its own peak of memory, which it may set back
    devices = [Path("/dev/null"), Path("/proc/self/clear_refs")]
    if limits.uses_cuda:
        devices += Path("/dev").glob("nvidia*")
    return Access(
        readable=[*map(Path, (*SYSTEM_PATHS, *python, *inputs)), *sources],
        writable=[Path(request["workdir"]), *map(Path, outputs)],
        devices=devices,
    )


def _live_in(workdir: Path) -> None:
    """Make the private folder the place of every temporary or stray file."""
    os.chdir(workdir)
    os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.tempdir = str(workdir)


def _die_when_stdin_ends() -> None:
    """Kill this process group when the parent has gone, whatever the system can do about that."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
