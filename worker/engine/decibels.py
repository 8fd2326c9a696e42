"""Signal and noise as a ratio in decibels."""

from math import log10

EQUAL_DB = 200.0
"""Stands for infinity where a number is needed: equal answers."""
FLOOR_DB = -200.0
"""Stands for minus infinity: an error where the original answers nothing but zeros."""


def signal_to_noise_db(signal: float, noise: float) -> float | None:
    """Return 10 log10(signal / noise) of two energies; None where there is no noise."""
    if noise == 0:
        return None
    if signal == 0:
        return FLOOR_DB
    return max(FLOOR_DB, 10 * log10(signal / noise))
