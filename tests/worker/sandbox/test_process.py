import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.worker.sandbox.behaviours import Behave
from tests.worker.sandbox.conftest import BEHAVE, LIMITS
from worker.engine.errors import InvalidModelError
from worker.sandbox.process import ChildFailedError, Sandbox, StoppedError
from worker.sandbox.spawner import SOURCE_ROOT

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until_dead(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def children_of_this_process() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def test_returns_the_answer(ask):
    assert ask("answer") == "42"


def test_takes_an_answer_of_many_megabytes(ask):
    assert len(ask("answer at length")) == 2**24


def test_reports_progress_to_the_caller(sandbox, tmp_path):
    heard = []

    sandbox.run(
        Behave(behaviour="answer", workdir=tmp_path),
        LIMITS,
        on_progress=lambda stage, progress: heard.append((stage, progress)),
    )

    assert heard == [("behaving", 0.5)]


@pytest.mark.parametrize("behaviour", ["refuse", "refuse because of itself"])
def test_raises_the_engine_s_error_with_its_class_code_and_message(ask, behaviour):
    with pytest.raises(InvalidModelError, match=r"^the file is empty$") as caught:
        ask(behaviour)

    assert caught.value.code == "empty_model"


def test_keeps_an_unexpected_error_to_the_log(ask):
    with capture_logs() as logs, pytest.raises(ChildFailedError) as caught:
        ask("blunder")

    assert caught.value.code == "internal_error"
    assert "secret" not in str(caught.value)
    details = [log["details"] for log in logs if log["event"] == "sandbox.internal_error"]
    assert len(details) == 1
    assert "a secret detail" in details[0]


def test_names_the_setting_that_the_wall_time_comes_from(ask):
    limits = replace(LIMITS, wall_seconds=0.5, wall_setting="UPLOAD_TIME_LIMIT")

    with pytest.raises(ChildFailedError, match="raise ONNXPRESS_UPLOAD_TIME_LIMIT_SECONDS"):
        ask("hang", limits)


def test_ends_a_hang_at_the_wall_limit(ask):
    with pytest.raises(ChildFailedError, match="JOB_TIME_LIMIT_SECONDS") as caught:
        ask("hang", replace(LIMITS, wall_seconds=1.5))

    assert caught.value.code == "time_limit"


def test_ends_a_hanging_operation_at_its_limit_and_names_it(ask):
    started = time.monotonic()

    with pytest.raises(ChildFailedError, match=r"^running the model \(behaving\)") as caught:
        ask("hang in operation")

    assert caught.value.code == "time_limit"
    assert time.monotonic() - started < LIMITS.wall_seconds / 2


def test_calls_spent_processor_time_a_time_limit(ask):
    with pytest.raises(ChildFailedError) as caught:
        ask("burn processor time")

    assert caught.value.code == "time_limit"


@pytest.mark.parametrize("behaviour", ["eat memory", "abort for memory", "wrap memory error"])
def test_calls_each_shortage_of_memory_by_its_name(ask, behaviour):
    with pytest.raises(ChildFailedError, match=r"1\.0 GiB.*MEMORY_LIMIT") as caught:
        ask(behaviour)

    assert caught.value.code == "out_of_memory"


def test_blames_nobody_for_a_full_disk(ask):
    with pytest.raises(ChildFailedError, match=r"^the disk was full while behaving") as caught:
        ask("fill the disk")

    assert caught.value.code == "disk_full"
    assert caught.value.was_killed


def test_calls_a_file_that_is_too_large_by_its_name(ask):
    with pytest.raises(ChildFailedError, match=r"1000 bytes allowed.*MAX_UNPACKED") as caught:
        ask("make a giant", replace(LIMITS, file_bytes=1000))

    assert caught.value.code == "file_too_large"


@linux_only
def test_watches_the_memory_of_a_child_that_uses_cuda(ask):
    with pytest.raises(ChildFailedError) as caught:
        ask("eat memory", replace(LIMITS, uses_cuda=True))

    assert caught.value.code == "out_of_memory"


@pytest.mark.parametrize(("behaviour", "sign"), [("abort", "SIGABRT"), ("segfault", "SIGSEGV")])
def test_tells_how_a_child_crashed(ask, behaviour, sign):
    with pytest.raises(ChildFailedError, match=f"crashed with {sign} while behaving") as caught:
        ask(behaviour)

    assert caught.value.code == "crashed"
    assert not caught.value.was_killed


def test_calls_a_child_that_just_ends_an_internal_error(ask):
    with pytest.raises(ChildFailedError) as caught:
        ask("exit")

    assert caught.value.code == "internal_error"


@linux_only
def test_knows_a_kill_from_outside(sandbox, tmp_path):
    # and none of the servers that other tests started
    known = {
        pid
        for pid in children_of_this_process()
        if b"worker.sandbox.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }
    assert known
    request = Behave(behaviour="hang", workdir=tmp_path)

    def kill_workers(_stage, _progress):
        for pid in children_of_this_process() & known:
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(ChildFailedError, match="killed while") as caught:
        sandbox.run(request, LIMITS, on_progress=kill_workers)

    assert caught.value.code == "crashed"
    assert caught.value.was_killed


def test_stops_when_asked_to(sandbox, tmp_path):
    is_stopping = threading.Event()
    request = Behave(behaviour="hang", workdir=tmp_path)

    with pytest.raises(StoppedError):
        sandbox.run(
            request,
            LIMITS,
            on_progress=lambda _stage, _progress: is_stopping.set(),
            should_stop=is_stopping.is_set,
        )


@linux_only
def test_kills_what_the_child_has_started(ask, tmp_path):
    with pytest.raises(ChildFailedError):
        ask("hang with grandchild", replace(LIMITS, wall_seconds=2))

    assert wait_until_dead(int((tmp_path / "work" / "grandchild").read_text()))


def test_bears_any_amount_of_printing(ask):
    assert ask("print") == ""


def test_puts_every_temporary_file_into_the_private_folder(ask, tmp_path):
    path = Path(ask("litter"))

    assert path.parent == tmp_path / "work"
    assert {"stray", "at-home", path.name} == {it.name for it in path.parent.iterdir()}


def test_replaces_a_spare_that_died_waiting(tmp_path):
    with Sandbox(spares=0, entry_point=BEHAVE) as sandbox:
        sandbox._spawner._orders.put(True)
        spare = sandbox._spawner._children.get()
        os.kill(spare.pid, signal.SIGKILL)
        spare.process.wait()
        sandbox._spawner._children.put(spare)

        answer = sandbox.run(Behave(behaviour="answer", workdir=tmp_path), LIMITS)

    assert answer.text == "42"


@linux_only
def test_leaves_no_process_and_no_descriptor_behind(tmp_path):
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    children_before = children_of_this_process()

    with Sandbox(spares=1, entry_point=BEHAVE) as sandbox:
        sandbox.run(Behave(behaviour="answer", workdir=tmp_path), LIMITS)

    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    assert children_of_this_process() == children_before


@linux_only
def test_children_die_with_a_killed_parent(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.worker.sandbox.behaviours import Behave\n"
        "from worker.sandbox.process import Limits, Sandbox\n"
        f"sandbox = Sandbox(spares=1, entry_point={BEHAVE!r})\n"
        f"request = Behave(behaviour='hang', workdir=Path({str(tmp_path)!r}))\n"
        "sandbox.run(request, Limits(), on_progress=lambda *_: print('hanging', flush=True))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=SOURCE_ROOT, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout.readline() == "hanging\n"
        tasks = Path(f"/proc/{parent.pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in re.findall(r"\d+", task.read_text())]

        parent.kill()

    assert len(children) == 2
    assert all(wait_until_dead(pid) for pid in children)
