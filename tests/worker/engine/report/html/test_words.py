import pytest

from worker.engine.report.html import words


@pytest.mark.parametrize(
    ("count", "text"), [(999, "999 B"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (7e9, "7 GB")]
)
def test_bytes_have_the_unit_that_fits(count, text):
    assert words.bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (0.0025, "2.5 ms"), (2.5e-6, "2.5 µs"), (None, "-")]
)
def test_seconds_have_the_unit_that_fits(seconds, text):
    assert words.seconds_text(seconds) == text


def test_no_noise_is_equal_answers():
    assert (words.decibels(None), words.decibels(31.25)) == ("equal", "31.2 dB")
