"""Showing the sample whose answer moved most: the values that matter, before and after."""

import math

import numpy as np

from worker.engine.report.quality import ShownValue
from worker.engine.samples import Array

SHOWN_VALUES = 5


def shown_values(expected: Array, actual: Array) -> list[ShownValue]:
    """Return the highest values of either answer or, of classes and text, some that differ.

    Nothing where the answers differ in shape.
    """
    if expected.shape != actual.shape or expected.size == 0:
        return []
    before, after = expected.ravel(), actual.ravel()
    if expected.dtype.kind == "f":
        places = sorted(
            {*_highest(before), *_highest(after)}, key=lambda place: (-_rank(before[place]), place)
        )
    else:
        places = [int(place) for place in np.flatnonzero(before != after)[:SHOWN_VALUES]]
    return [
        ShownValue(
            place=[int(axis) for axis in np.unravel_index(place, expected.shape)],
            before=_plain(before[place]),
            after=_plain(after[place]),
        )
        for place in places
    ]


def _highest(values: Array) -> list[int]:
    numbers = np.nan_to_num(values.astype(np.float64), nan=-math.inf)
    count = min(SHOWN_VALUES, numbers.size)
    found = np.argpartition(-numbers, count - 1)[:count]
    return [int(place) for place in found]


def _rank(value: object) -> float:
    number = float(str(value))
    return -math.inf if math.isnan(number) else number


def _plain(value: object) -> float | str | None:
    """Return a value as JSON holds it; None for one that is not finite."""
    if isinstance(value, np.number | np.bool_ | float | int):
        number = float(value)
        return number if math.isfinite(number) else None
    return str(value)[:200]
