import pytest

from worker.engine.quantization.error_shares import MAX_MEASUREMENTS, error_shares

ERRORS = {"a": 0.0, "b": 1e-6, "c": 0.5, "d": 1e-6, "e": 0.0, "f": 0.25}


def test_finds_the_roundings_that_make_the_error():
    shares = error_shares(list(ERRORS), lambda names: sum(map(ERRORS.get, names)), allowed=0.01)

    assert shares["c"] == 0.5
    assert shares["f"] == 0.25
    assert sum(shares.values()) == pytest.approx(sum(ERRORS.values()))


def test_does_not_look_into_what_cannot_matter():
    asked = []

    def error(names):
        asked.append(names)
        return 0.001

    shares = error_shares(["a", "b"], error, allowed=1.0)

    assert shares == {"a": 0.0005, "b": 0.0005}
    assert asked == [["a", "b"]]


def test_gives_up_after_so_many_runs():
    asked = []

    def error(names):
        asked.append(names)
        return float(len(names))

    shares = error_shares([str(number) for number in range(1000)], error, allowed=1e-6)

    assert len(asked) <= MAX_MEASUREMENTS + 1
    assert set(shares.values()) == {1.0}
