"""Confidence intervals of a median, without a model of how the values are distributed."""

from collections.abc import Sequence
from math import comb

import numpy as np

from worker.engine.report.timings import RatioInterval

CONFIDENCE = 0.95


def median_interval(values: Sequence[float]) -> RatioInterval | None:
    """Return the narrowest pair of order statistics that holds the median with 95 % confidence.

    The r-th smallest and r-th largest of n independent values enclose their median with
    probability 1 - 2 P(B < r), B binomial(n, 1/2): David and Nagaraja, Order Statistics, 3rd
    edition, section 7.1. Nothing is drawn at random, so the same values give the same interval.
    Under six values even the extremes hold less; `confidence` says how much. None for one value.
    """
    size = len(values)
    if size < 2:
        return None
    rank, outside = 1, 1  # `outside` of 2**size sequences of coin tosses show fewer than `rank`
    while 1 - 2 * (outside + comb(size, rank)) / 2**size >= CONFIDENCE:
        outside += comb(size, rank)
        rank += 1
    ordered = np.sort(np.asarray(values, np.float64))
    return RatioInterval(
        low=float(ordered[rank - 1]),
        high=float(ordered[size - rank]),
        confidence=1 - 2 * outside / 2**size,
    )
