"""Showing the sample whose answer moved most: the values that matter, before and after."""

import math

import numpy as np

from worker.engine.report.quality import ShownValue
from worker.engine.samples import Array
from worker.engine.scoring.base import Floats

SHOWN_VALUES = 3
"""Of each kind: highest before, highest after, and moved most."""


def shown_values(expected: Array, actual: Array) -> list[ShownValue]:
    """Return the highest values of either answer and those that moved most, the highest first.

    Of classes and text, some that differ.

    Nothing where the answers differ in shape.
    """
    if expected.shape != actual.shape or expected.size == 0:
        return []
    before, after = expected.ravel(), actual.ravel()
    if expected.dtype.kind == "f":
        scores, others = _ordered(before), _ordered(after)
        with np.errstate(invalid="ignore"):
            moved = np.nan_to_num(np.abs(scores - others), nan=0.0)
        chosen = {*_highest(scores), *_highest(others), *_highest(moved)}
        places = sorted(chosen, key=lambda place: (-scores[place], place))
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


def _ordered(values: Array) -> Floats:
    """Return values in which NaN is the lowest."""
    return np.nan_to_num(
        values.astype(np.float64), nan=-math.inf, posinf=math.inf, neginf=-math.inf
    )


def _highest(values: Floats) -> list[int]:
    count = min(SHOWN_VALUES, values.size)
    return [int(place) for place in np.argpartition(-values, count - 1)[:count]]


def _plain(value: object) -> float | str | None:
    """Return a value as JSON holds it; None for one that is not finite."""
    if isinstance(value, np.number | np.bool_ | float | int):
        number = float(value)
        return number if math.isfinite(number) else None
    return str(value)[:200]
