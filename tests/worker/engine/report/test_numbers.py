import pytest

from worker.engine.report.numbers import short


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.00424216, "0.004242"),
        (0.0, "0"),
        (1234.4, "1234"),
        (4_000_000, "4,000,000"),
        (4_000_123.0, "4,000,123"),
        (-20_000.0, "-20,000"),
        (3.2e20, "3.2e+20"),
        (float("inf"), "inf"),
    ],
)
def test_large_numbers_keep_every_digit_before_the_point(value, words):
    assert short(value) == words


def test_small_numbers_take_the_digits_asked_for():
    assert short(0.123456, 2) == "0.12"
