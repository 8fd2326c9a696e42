import os
import signal
import sys
import time

import pytest

from app.parts import Part, PartError, Program


@pytest.fixture
def make_part(tmp_path):
    parts = []

    def make(code: str) -> Part:
        program = Program("worker", [sys.executable, "-c", code], dict(os.environ))
        part = Part(program, tmp_path, echo=False)
        parts.append(part)
        part.start()
        return part

    yield make
    for part in parts:
        part.close()


def tend_until(part: Part, is_done, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_done() and time.monotonic() < deadline:
        part.tend()
        time.sleep(0.02)


def test_writes_what_the_process_prints_to_its_log(make_part, tmp_path):
    log = tmp_path / "worker.log"
    part = make_part(
        "import time; print('hello'); print('half', end='', flush=True); time.sleep(9)"
    )

    tend_until(part, log.read_text)

    assert log.read_text() == "hello\n"


def test_loses_lines_in_silence_while_the_disk_is_full(make_part, tmp_path, capsys):
    part = make_part("import time; print('hello', flush=True); time.sleep(9)")
    (tmp_path / "full").symlink_to("/dev/full")
    part._log.close()
    part._log.baseFilename = str(tmp_path / "full")

    tend_until(part, lambda: part._last_lines)

    assert list(part._last_lines) == ["hello"]
    assert capsys.readouterr().err == ""


def test_starts_a_dead_process_again(make_part, tmp_path, capsys):
    log = tmp_path / "worker.log"
    part = make_part("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    tend_until(part, log.read_text)

    os.kill(int(log.read_text()), signal.SIGKILL)
    tend_until(part, lambda: len(log.read_text().split()) == 2)

    first, second = log.read_text().split()
    assert first != second
    assert "the worker ended (killed by SIGKILL)" in capsys.readouterr().err


def test_gives_up_on_a_process_that_keeps_dying(make_part):
    part = make_part("import sys; sys.exit('no luck')")

    with pytest.raises(PartError, match=r"died 5 times in a minute[\s\S]*no luck"):
        tend_until(part, lambda: False, seconds=30)


def test_asks_before_it_kills(make_part, tmp_path):
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('bye'))); "
    part = make_part(code + "print('up', flush=True); signal.pause()")
    tend_until(part, (tmp_path / "worker.log").read_text)

    part.request_stop()
    deadline = time.monotonic() + 5
    while part.is_running and time.monotonic() < deadline:
        time.sleep(0.02)
    part.close()

    assert (tmp_path / "worker.log").read_text() == "up\nbye\n"
