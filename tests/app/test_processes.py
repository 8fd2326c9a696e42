import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app import processes

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
PARENT = """
import os, sys, time
from app import processes
child = processes.spawn(["sleep", "60"], environment=dict(os.environ), output=1)
print(child.pid, flush=True)
time.sleep(60)
"""


GREEDY = """
import resource
from app import processes
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
processes.allow_many_connections()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until_dead(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_child_dies_with_a_killed_parent():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_alive(child)

        parent.send_signal(signal.SIGKILL)

    assert wait_until_dead(child, 5)


def test_kills_what_ignores_the_request_to_stop_and_its_children():
    reader, writer = os.pipe()
    process = processes.spawn(
        [sys.executable, "-c", STUBBORN], environment=dict(os.environ), output=writer
    )
    os.close(writer)
    with open(reader) as lines:  # noqa: PTH123 - a descriptor
        grandchild = int(lines.readline())

    processes.stop(process, grace_seconds=0.2)

    assert process.returncode == -signal.SIGKILL
    assert wait_until_dead(grandchild, 5)


def test_allows_more_open_files_than_the_shell_did():
    answer = subprocess.run(
        [sys.executable, "-c", GREEDY], check=True, capture_output=True, text=True, timeout=60
    )

    assert int(answer.stdout) > 1000
