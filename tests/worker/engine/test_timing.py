from itertools import islice

import pytest

from worker.engine import timing
from worker.engine.timing import LoadedPair, time_in_turn, timed_pairs


class Recording:
    """Stands for a session: notes who ran on what."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def run(self, _outputs, feeds):
        self.log.append((self.name, feeds["x"]))
        return []


@pytest.fixture
def log():
    return []


@pytest.fixture
def pair(log):
    return LoadedPair(Recording("before", log), Recording("after", log), 0.0, 0.0)


def test_two_pairs_in_a_row_differ_in_who_starts_only(pair, log):
    feeds = [{"x": 1}, {"x": 2}]

    list(islice(timed_pairs(pair, feeds), 4))

    warm_up = [("before", 1), ("after", 1)] * 3
    first = [("before", 1), ("after", 1), ("after", 1), ("before", 1)]
    second = [("before", 2), ("after", 2), ("after", 2), ("before", 2)]
    assert log == warm_up + first + second


def test_a_slow_warm_up_counts(pair, log, monkeypatch):
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 0.0)

    [(before, after)] = islice(timed_pairs(pair, [{"x": 1}]), 1)

    assert log == [("before", 1), ("after", 1)]
    assert min(before.seconds, after.seconds) >= 0


def test_stops_when_the_time_is_up(pair, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET_SECONDS", 0.0)

    assert [len(times) for times in time_in_turn(pair, [{"x": 1}], 9, lambda _: None)] == [1, 1]
