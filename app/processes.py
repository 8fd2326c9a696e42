"""Child processes that end with their parent, whatever ends it."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

MANY_FILES = 2**16

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    output: int,
    inherited: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in its own session that Linux kills when this process ends.

    `output` takes both of its streams; `inherited` are file descriptors that it keeps. Call it
    from the main thread: the death signal follows the thread that starts the child.
    """
    parent = os.getpid()
    return subprocess.Popen(  # noqa: S603 - the command is ours
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=inherited,
        start_new_session=True,
        preexec_fn=lambda: _die_with(parent),  # noqa: PLW1509 - one thread, and it only calls prctl
    )


def stop(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Ask a spawned process to end, and kill what is left of its session after the grace."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a spawned process and its descendants that stayed in its session."""
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses to signal a zombie group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def allow_many_connections() -> None:
    """Raise this process's limit of open files, so that idle clients do not use it up."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if most == resource.RLIM_INFINITY else min(most, MANY_FILES)
    if now != resource.RLIM_INFINITY and now < wanted:
        with suppress(OSError, ValueError):  # macOS says "infinity" and takes less
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _die_with(parent: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call above
            os._exit(1)
