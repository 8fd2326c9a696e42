"""From what was observed of a tensor to the range that its quantized type covers."""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from worker.engine.calibration.histogram import Histogram, RunningRange, Values

CalibrationMethod = Literal["minmax", "percentile", "entropy", "mse"]
Percentile = Annotated[float, Field(gt=50, le=100)]

CANDIDATES = 64
TURNS = 2
SMALLEST_SHARE = 0.2
"""Searches try ranges from this share of the observed range up to all of it."""


class TensorRange(NamedTuple):
    """The real values that the lowest and the highest integer stand for."""

    lowest: float
    highest: float


@dataclass(frozen=True)
class RangeOptions:
    """How a range is found, for a type of `levels` integers."""

    method: CalibrationMethod
    percentile: float
    levels: int
    is_symmetric: bool

    @property
    def needs_histogram(self) -> bool:
        """Whether the method looks at more than the smallest and largest value."""
        return self.method != "minmax"


def find_range(observed: RunningRange, options: RangeOptions) -> TensorRange:
    """Return the range of a tensor, which always holds 0 and never exceeds what was observed."""
    lowest, highest = min(observed.lowest, 0.0), max(observed.highest, 0.0)
    if options.is_symmetric:
        highest = max(-lowest, highest)
        lowest = -highest
    whole = TensorRange(lowest, highest)
    if options.method == "minmax" or lowest == highest or not isinstance(observed, Histogram):
        return whole
    if options.method == "percentile":
        return _clip(_percentile_range(observed, options), whole, options)
    search = {"entropy": _least_divergence, "mse": _least_squares}[options.method]
    return search(observed, whole, options)


def _clip(found: TensorRange, whole: TensorRange, options: RangeOptions) -> TensorRange:
    lowest = max(min(found.lowest, 0.0), whole.lowest)
    highest = min(max(found.highest, 0.0), whole.highest)
    if options.is_symmetric:
        highest = max(-lowest, highest)
        lowest = -highest
    return TensorRange(lowest, highest) if lowest < highest else whole


def _percentile_range(observed: Histogram, options: RangeOptions) -> TensorRange:
    """Return the range that leaves out (100 - percentile) / 2 percent on each side."""
    cumulated = np.cumsum(observed.counts)
    cut = cumulated[-1] * (1 - options.percentile / 100) / 2
    first = int(np.searchsorted(cumulated, cut, side="right"))
    last = int(np.searchsorted(cumulated, cumulated[-1] - cut, side="left"))
    low, high = observed.first + first, observed.first + last + 1
    return TensorRange(low * observed.width, high * observed.width)


def _least_squares(observed: Histogram, whole: TensorRange, options: RangeOptions) -> TensorRange:
    """Return the range of the least mean squared error, by turns over its two ends."""
    shares = np.linspace(1.0, SMALLEST_SHARE, CANDIDATES)
    if options.is_symmetric:
        highs = whole.highest * shares
        best = int(np.argmin(_squared_errors(observed, -highs, highs, options.levels)))
        return TensorRange(-float(highs[best]), float(highs[best]))
    low, high = whole
    for _ in range(TURNS):
        high = _best_end(observed, whole.highest * shares, low, options.levels)
        before, low = low, _best_end(observed, whole.lowest * shares, high, options.levels)
        if low == before:
            break  # another turn would find the same
    return TensorRange(low, high) if low < high else whole


def _best_end(observed: Histogram, ends: Values, other: float, levels: int) -> float:
    """Return the end of a range that has the least squared error together with the other end."""
    if not ends[0]:
        return 0.0
    others = np.full(len(ends), other)
    errors = _squared_errors(observed, np.minimum(ends, others), np.maximum(ends, others), levels)
    return float(ends[np.argmin(errors)])


def _squared_errors(observed: Histogram, lows: Values, highs: Values, levels: int) -> Values:
    """Return, for each range, the sum over bins of count · (value - quantized value)²."""
    scales = np.maximum(highs - lows, np.finfo(np.float64).tiny)[:, None] / (levels - 1)
    zero_points = np.round(-lows[:, None] / scales)
    held = observed.counts > 0
    centers = observed.centers[held]
    # In place: the array has 64 times as many values as there are bins.
    rounded = centers / scales
    np.rint(rounded, out=rounded)
    np.clip(rounded, -zero_points, levels - 1 - zero_points, out=rounded)
    rounded *= scales
    rounded -= centers
    np.square(rounded, out=rounded)
    squared: Values = rounded @ observed.counts[held].astype(np.float64)
    return squared


def _least_divergence(
    observed: Histogram, whole: TensorRange, options: RangeOptions
) -> TensorRange:
    """Return the range whose quantized distribution is nearest to the observed one.

    Nearest by KL(P‖Q) = Σ P log(P / Q), as in Migacz, 8-bit inference with TensorRT (2017): P is
    the observed distribution with the values outside moved to the ends, Q is P without them,
    averaged over the bins of each integer. Left out is what would favour narrow ranges for no
    reason: zeros and the ends of a range are integers, so they are not averaged; and averaging a
    sample of N values diverges by (bins - integers) / 2N by chance.
    """
    best, least = whole, np.inf
    counts = observed.counts.astype(np.float64)
    zero = -observed.first
    if 0 <= zero < len(counts):
        counts[zero] = 0
    for share in np.linspace(1.0, SMALLEST_SHARE, CANDIDATES).tolist():
        candidate = TensorRange(whole.lowest * share, whole.highest * share)
        reach = observed.width / 2
        inside = (observed.centers >= candidate.lowest - reach) & (
            observed.centers <= candidate.highest + reach
        )
        divergence = _divergence(counts, inside, options.levels)
        if divergence < least:
            best, least = candidate, divergence
    return best


def _divergence(counts: Values, inside: npt.NDArray[np.bool_], levels: int) -> float:
    """Return KL(P‖Q) when the bins `inside` are divided into `levels` integers."""
    kept = counts[inside]
    if len(kept) <= levels or not kept.any():
        return np.inf
    reference = kept.copy()
    first = int(np.argmax(inside))
    reference[0] += counts[:first].sum()
    reference[-1] += counts[first + len(kept) :].sum()
    averaged = kept.copy()
    averaged[[0, -1]] = 0
    integers = np.arange(len(kept)) * levels // len(kept)
    totals = np.bincount(integers, weights=averaged, minlength=levels)
    occupied = np.bincount(integers, weights=averaged > 0, minlength=levels)
    means = totals / np.maximum(occupied, 1)
    quantized = np.where(averaged > 0, means[integers], 0.0)
    quantized[[0, -1]] = kept[[0, -1]]
    by_chance = (occupied.sum() - np.count_nonzero(occupied)) / (2 * reference.sum())
    return _kullback_leibler(reference, quantized) - float(by_chance)


def _kullback_leibler(reference: Values, quantized: Values) -> float:
    """Return KL(P‖Q) over the bins of P that hold any; a Q of 0 there counts as tiny."""
    p = reference / reference.sum()
    q = np.maximum(quantized / max(quantized.sum(), 1.0), 1e-12)
    held = p > 0
    return float(np.sum(p[held] * np.log(p[held] / q[held])))
