import pytest

from worker.engine import memory
from worker.engine.memory import PeakMemory, peak_memory_bytes, resident_bytes

MIB = 2**20
linux_only = pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="needs Linux")


def test_the_peak_is_that_of_a_python_process():
    assert 2**24 < peak_memory_bytes() < 2**36


@linux_only
def test_what_is_resident_is_at_most_the_peak():
    # the kernel batches its counts by up to 64 pages on each processor
    assert resident_bytes() <= peak_memory_bytes() + 4 * MIB


@linux_only
def test_a_watch_sees_the_peak_of_its_part_alone():
    peak = PeakMemory()
    bytearray(256 * MIB)

    with peak.watch() as quiet:
        pass
    with peak.watch() as busy:
        bytearray(64 * MIB)

    assert busy.peak_bytes - quiet.peak_bytes == pytest.approx(64 * MIB, abs=8 * MIB)
    assert peak.peak_bytes - busy.peak_bytes > 150 * MIB


@linux_only
def test_a_watch_keeps_what_was_before_one_within_it():
    peak = PeakMemory()

    with peak.watch() as outer:
        bytearray(128 * MIB)
        with peak.watch() as inner:
            pass

    assert outer.peak_bytes - inner.peak_bytes == pytest.approx(128 * MIB, abs=8 * MIB)


def test_a_system_without_resets_knows_the_peak_of_the_whole_life_only(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CLEAR_REFS", tmp_path / "none")
    peak = PeakMemory()

    with peak.watch() as watch:
        pass

    assert watch.peak_bytes is None
    assert peak.peak_bytes > 2**24


def test_a_system_that_tells_nothing_has_no_resident_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "STATM", tmp_path / "none")

    assert resident_bytes() is None
