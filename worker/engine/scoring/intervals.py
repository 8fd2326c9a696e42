"""Bootstrap intervals: how far a score would move had other samples of the same kind been drawn.

Percentile intervals (Efron 1979): each resample draws as many samples, with repeats, and scores
both models on the same draw, so that what both find hard does not widen their difference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.engine.report.quality import Interval
from worker.engine.scoring.base import Floats, Scored

CONFIDENCE = 0.95
MOST_RESAMPLES, FEWEST_RESAMPLES = 1000, 100
MAX_COST = 10**8
"""Numbers that all resamples of one score may look at, about a second's work."""


@dataclass(frozen=True)
class PairedIntervals:
    """Of both models' scores, and of the compressed one's less the original's."""

    before: Interval
    after: Interval
    difference: Interval
    resamples: int


def paired_intervals(before: Scored, after: Scored, seed: int) -> PairedIntervals | None:
    """Return the intervals of two scores on the same samples; None where one sample says nothing.

    The same samples and seed give the same intervals.
    """
    if before.samples < 2:
        return None
    resamples = resample_count(before.cost + after.cost)
    scores = np.array(
        [
            (before.score(weights), after.score(weights))
            for weights in draws(before.samples, resamples, seed)
        ]
    )
    scores = scores[np.isfinite(scores).all(axis=1)]
    if len(scores) < FEWEST_RESAMPLES / 2:
        return None
    return PairedIntervals(
        percentile_interval(scores[:, 0]),
        percentile_interval(scores[:, 1]),
        percentile_interval(scores[:, 1] - scores[:, 0]),
        len(scores),
    )


def intervals_of(
    rows: Floats, figures: Sequence[Callable[[Floats], float]], seed: int
) -> list[Interval | None]:
    """Return the interval of each figure of the sums of rows; None of a single row."""
    if len(rows) < 2:
        return [None] * len(figures)
    values = np.array(
        [
            [figure(sums) for figure in figures]
            for weights in draws(len(rows), resample_count(rows.size), seed)
            for sums in [weights @ rows]
        ]
    )
    finite = (column[np.isfinite(column)] for column in values.T)
    return [
        percentile_interval(column) if len(column) >= FEWEST_RESAMPLES / 2 else None
        for column in finite
    ]


def draws(samples: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each sample is drawn, one resample after another."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = random.integers(0, samples, samples)
        yield np.bincount(drawn, minlength=samples).astype(np.float64)


def resample_count(cost: int) -> int:
    """Return how many resamples are affordable where each looks at `cost` numbers."""
    return int(np.clip(MAX_COST // max(1, cost), FEWEST_RESAMPLES, MOST_RESAMPLES))


def percentile_interval(values: npt.NDArray[np.float64]) -> Interval:
    """Return the interval that holds the middle 95 % of values."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))
