import time

import pytest

from worker.engine import memory
from worker.engine.accounting import Accounts


def test_each_stage_has_its_line():
    accounts = Accounts()

    with accounts.stage("preparing"):
        pass
    with accounts.stage("measuring"):
        time.sleep(0.05)

    spending = accounts.total()
    assert [stage.stage for stage in spending.stages] == ["preparing", "measuring"]
    assert accounts.durations_seconds["measuring"] == spending.stages[1].wall_seconds >= 0.05
    assert spending.wall_seconds >= sum(stage.wall_seconds for stage in spending.stages)


def test_waiting_takes_no_processor_time():
    accounts = Accounts()

    with accounts.stage("measuring"):
        time.sleep(0.2)

    [stage] = accounts.total().stages
    assert stage.cpu_seconds < stage.wall_seconds / 2


def test_a_stage_that_is_entered_again_adds_to_its_line():
    accounts = Accounts()

    for _ in range(2):
        with accounts.stage("compressing"):
            time.sleep(0.03)

    [stage] = accounts.total().stages
    assert stage.wall_seconds >= 0.06


def test_a_stage_that_fails_has_no_line():
    accounts = Accounts()

    with pytest.raises(ValueError, match="no"), accounts.stage("compressing"):
        raise ValueError("no")

    assert accounts.durations_seconds == {}


def test_memory_of_a_stage_is_unknown_where_the_kernel_keeps_one_peak(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "none")
    accounts = Accounts()

    for _ in range(2):
        with accounts.stage("compressing"):
            pass

    spending = accounts.total()
    assert spending.stages[0].peak_memory_bytes is None
    assert spending.peak_memory_bytes > 2**24
