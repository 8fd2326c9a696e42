"""Whether a compressed model decides as the original does, on samples without labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.engine.decibels import signal_to_noise_db
from worker.engine.report.quality import Interval
from worker.engine.samples import Array
from worker.engine.scoring.base import Floats
from worker.engine.scoring.correlation import weighted_pearson, weighted_ranks
from worker.engine.scoring.intervals import intervals_of

MAX_RANKED_VALUES = 4096
"""Of one sample; of more, evenly spaced ones are ranked."""

SIGNAL, NOISE, CHOICES, SAME_CHOICES, ANSWERS, FLIPS, BOTH_YES, ANY_YES = range(8)


@dataclass(frozen=True)
class Agreements:
    """What one output's samples say, each with its interval; None where it does not apply."""

    sqnr_interval: Interval | None
    argmax_agreement: float | None
    argmax_interval: Interval | None
    flips: float | None
    flips_interval: Interval | None
    yes_overlap: float | None
    rank_correlation: float | None


class DecisionSums:
    """A few sums for each sample of one output; with a threshold, values above it mean yes."""

    def __init__(self, threshold: float | None = None, *, ranks: bool = True) -> None:
        self.threshold = threshold
        self._ranks = ranks
        self._rows: list[Floats] = []
        self._correlations: list[float] = []
        self._singles: list[tuple[float, float]] = []

    def add(self, expected: Array, actual: Array, signal: float, noise: float) -> None:
        """Take in one sample's floating point answers, and the energies of signal and noise."""
        row = np.zeros(8)
        row[[SIGNAL, NOISE]] = signal, noise
        self._count_choices(row, expected, actual)
        if expected.shape == actual.shape:
            self._count_answers(row, expected, actual)
            if self._ranks:
                self._rank(expected, actual)
        elif self.threshold is not None:
            row[[ANSWERS, FLIPS]] = expected.size
        self._rows.append(row)

    def result(self, seed: int | None) -> Agreements:
        """Return the figures over all samples; with a seed, their intervals too."""
        rows = np.array(self._rows).reshape(-1, 8)
        figures = (_sqnr, _argmax, _flips, _overlap)
        intervals = [None] * 4 if seed is None else intervals_of(rows, figures, seed)
        sqnr_interval, argmax_interval, flips_interval, _ = intervals
        _, argmax, flips, overlap = (_or_none(figure, rows.sum(axis=0)) for figure in figures)
        return Agreements(
            sqnr_interval=sqnr_interval,
            argmax_agreement=argmax,
            argmax_interval=argmax_interval,
            flips=flips,
            flips_interval=flips_interval,
            yes_overlap=overlap,
            rank_correlation=self._rank_correlation(),
        )

    def _count_choices(self, row: Floats, expected: Array, actual: Array) -> None:
        if expected.ndim < 2 or expected.shape[-1] < 2:
            return
        row[CHOICES] = expected.size // expected.shape[-1]
        if expected.shape == actual.shape:
            row[SAME_CHOICES] = np.sum(expected.argmax(-1) == actual.argmax(-1))

    def _count_answers(self, row: Floats, expected: Array, actual: Array) -> None:
        if self.threshold is None:
            return
        before, after = (each.astype(np.float64) > self.threshold for each in (expected, actual))
        row[ANSWERS] = before.size
        row[FLIPS] = np.sum(before != after)
        row[BOTH_YES] = np.sum(before & after)
        row[ANY_YES] = np.sum(before | after)

    def _rank(self, expected: Array, actual: Array) -> None:
        """Note how well the order of the values is kept; single values wait for the others."""
        step = max(1, -(-expected.size // MAX_RANKED_VALUES))
        before, after = (x.ravel()[::step].astype(np.float64) for x in (expected, actual))
        both = np.isfinite(before) & np.isfinite(after)
        before, after = before[both], after[both]
        if expected.size == 1 and before.size:
            self._singles.append((float(before[0]), float(after[0])))
        elif before.size > 2 and np.ptp(before) > 0:
            self._correlations.append(_spearman(before, after))

    def _rank_correlation(self) -> float | None:
        if self._correlations:
            return float(np.mean(self._correlations))
        before, after = np.array(self._singles).reshape(-1, 2).T
        return _spearman(before, after) if before.size > 2 and np.ptp(before) > 0 else None


def _spearman(before: Floats, after: Floats) -> float:
    ones = np.ones(before.size)
    return weighted_pearson(weighted_ranks(before, ones), weighted_ranks(after, ones), ones)


def _sqnr(sums: Floats) -> float:
    ratio = signal_to_noise_db(float(sums[SIGNAL]), float(sums[NOISE]))
    return float("nan") if ratio is None else ratio


def _argmax(sums: Floats) -> float:
    return _share(sums[SAME_CHOICES], sums[CHOICES])


def _flips(sums: Floats) -> float:
    return _share(sums[FLIPS], sums[ANSWERS])


def _overlap(sums: Floats) -> float:
    return _share(sums[BOTH_YES], sums[ANY_YES])


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _or_none(figure: Callable[[Floats], float], sums: Floats) -> float | None:
    value = figure(sums)
    return None if np.isnan(value) else value
