import os

import pytest

from worker.engine.performance.noise import MachineTimes, noise_reasons
from worker.engine.report.timings import RatioInterval

CERTAIN = RatioInterval(low=0.99, high=1.01, confidence=0.96)
PROCESSORS = os.cpu_count()
QUIET = (MachineTimes(0, 0, 0, 0), MachineTimes(1, 1, 1, 0))
STEADY = [1.0] * 20


def test_a_quiet_machine_gives_no_reason():
    assert noise_reasons(STEADY, CERTAIN, 0.01, QUIET) == []


@pytest.mark.parametrize(
    ("ratios", "interval", "waiting", "end", "words"),
    [
        ([1.0], None, 0.0, QUIET[1], "only 1 rounds"),
        (STEADY, CERTAIN, 0.25, QUIET[1], "25% of their time waiting"),
        ([0.5] * 5 + [1.0] * 5 + [2.0] * 5, CERTAIN, None, QUIET[1], "spreads from 0.50 to 2.00"),
        # this process took one second of them
        (STEADY, CERTAIN, 0.0, MachineTimes(1, 1, 1 + PROCESSORS, 0), "other programs kept"),
        (STEADY, CERTAIN, 0.0, MachineTimes(1, 1, 1, 0.5 * PROCESSORS), "50% of the processors"),
    ],
)
def test_each_disturbance_is_told(ratios, interval, waiting, end, words):
    [reason] = noise_reasons(ratios, interval, waiting, (QUIET[0], end))

    assert words in reason


def test_a_system_that_tells_nothing_is_not_called_noisy():
    unknown = (MachineTimes(0, 0, None, None), MachineTimes(1, 1, None, None))

    assert noise_reasons(STEADY, CERTAIN, None, unknown) == []


def test_reads_the_machine_s_times(tmp_path, monkeypatch):
    stat = tmp_path / "stat"
    # user nice system idle iowait irq softirq steal guest guest_nice, in ticks
    stat.write_text("cpu 100 20 30 400 50 6 7 8 9 1\ncpu0 0 0\n")
    monkeypatch.setattr("worker.engine.performance.noise.STAT", stat)
    second = os.sysconf("SC_CLK_TCK")

    times = MachineTimes.now()

    # a guest's ten ticks are among those of user and nice
    assert times.busy == pytest.approx((100 + 20 + 30 + 6 + 7) / second)
    assert times.stolen == pytest.approx(8 / second)


def test_other_systems_have_no_such_file(tmp_path, monkeypatch):
    monkeypatch.setattr("worker.engine.performance.noise.STAT", tmp_path / "none")

    assert MachineTimes.now().busy is None
