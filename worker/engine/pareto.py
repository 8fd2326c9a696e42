"""The Pareto front: which of several results are worth a choice."""

import math
from collections.abc import Sequence

Costs = Sequence[float | None]
"""A point's figures, one an axis, each better the smaller it is; None was not measured."""


def pareto_front(points: Sequence[Costs]) -> list[int]:
    """Return the indices of the points that no other point beats, in their order.

    A point beats another that is nowhere smaller and somewhere larger. What was not measured counts
    as larger than any number, so it neither wins on that axis nor hides what the others say. Equal
    points do not beat each other.
    """
    measured = [tuple(_cost(value) for value in point) for point in points]
    return [
        index
        for index, point in enumerate(measured)
        if not any(_beats(other, point) for other in measured)
    ]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _cost(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else value
