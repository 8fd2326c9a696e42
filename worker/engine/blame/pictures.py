"""Histograms of weights and activations with the range that integers give them."""

import numpy as np

from worker.engine.blame.activations import Observed, Rounding, SegmentValues
from worker.engine.blame.weights import Floats, WeightFacts
from worker.engine.report.blame import ValuePicture

BINS = 64
LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


def draw(weight: WeightFacts | None, values: SegmentValues) -> list[ValuePicture]:
    """Return a picture of the weight and of each activation that is rounded."""
    pictures = [] if weight is None else [_of_weight(weight)]
    return pictures + [_of_activation(*each) for each in values.roundings if each[1].signal > 0]


def _of_weight(weight: WeightFacts) -> ValuePicture:
    flat = weight.before.reshape(-1)
    scale = None if weight.scale is None else float(np.max(weight.scale))
    lowest = highest = clipped = None
    limits = None if weight.integers is None else LIMITS.get(weight.integers.dtype.name)
    if scale is not None and weight.zero_point is not None and limits is not None:
        lowest, highest = ((limit - weight.zero_point) * scale for limit in limits)
        outside = (flat < lowest - scale / 2) | (flat > highest + scale / 2)
        clipped = float(np.mean(outside))
    least, most, counts = _counted(flat, np.ones(flat.size))
    return ValuePicture(
        what="weight",
        name=weight.name,
        lowest=least,
        highest=most,
        counts=counts,
        scale=scale,
        scales=None if weight.scale is None else int(weight.scale.size),
        zero_point=weight.zero_point,
        range_lowest=lowest,
        range_highest=highest,
        clipped_share=clipped,
    )


def _of_activation(rounding: Rounding, observed: Observed) -> ValuePicture:
    histogram = observed.histogram
    least, most, counts = _counted(histogram.centers, histogram.counts.astype(np.float64))
    return ValuePicture(
        what=rounding.what,
        name=rounding.name,
        lowest=least,
        highest=most,
        counts=counts,
        scale=rounding.scale,
        scales=1,
        zero_point=rounding.zero_point,
        range_lowest=rounding.lowest,
        range_highest=rounding.highest,
        clipped_share=observed.clipped_share,
    )


def _counted(values: Floats, weights: Floats) -> tuple[float, float, list[int]]:
    """Return the ends and the counts of at most 64 bins; one bin where all values are equal."""
    finite = np.isfinite(values)
    values, weights = values[finite], weights[finite]
    if not values.size or values.min() == values.max():
        value = float(values[0]) if values.size else 0.0
        return value, value, [int(weights.sum())]
    counts, edges = np.histogram(values, bins=BINS, weights=weights)
    return float(edges[0]), float(edges[-1]), [int(count) for count in np.round(counts)]
