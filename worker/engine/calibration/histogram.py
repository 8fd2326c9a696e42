"""Running statistics of one tensor: range and a histogram that widens its bins as values come."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from worker.engine.samples import Array

MAXIMUM_BINS = 4096
"""Bins kept for one tensor: 16 for each step of an 8-bit type."""
MAXIMUM_COUNTED = 2**15
"""Values counted of one array; of a larger one they are spread evenly over it."""
SMALLEST_SPAN = 2.0**-100
"""A range narrower than this counts as 0."""

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass
class RunningRange:
    """The smallest and largest of all values seen, and how many there were."""

    most_samples: ClassVar[int | None] = None
    """How many samples it is to see; None for all."""

    lowest: float = math.inf
    highest: float = -math.inf
    count: int = 0

    def update(self, array: Array) -> None:
        """Take in the values of an array."""
        if array.size:
            self.count += array.size
            self.lowest = float(np.minimum(self.lowest, float(array.min())))
            self.highest = float(np.maximum(self.highest, float(array.max())))

    @property
    def is_empty(self) -> bool:
        """Whether no value was seen."""
        return self.lowest > self.highest

    @property
    def is_finite(self) -> bool:
        """Whether no NaN or infinity was seen; either reaches an extreme and stays there."""
        return self.is_empty or (math.isfinite(self.lowest) and math.isfinite(self.highest))


@dataclass
class Histogram(RunningRange):
    """Counts of the values seen, in at most `MAXIMUM_BINS` bins of equal width.

    Of large arrays not all values are counted; the range is that of all. Bin `first + i` holds the
    values in [(first + i)·width, (first + i + 1)·width). The width is a power of two, so that two
    neighbours merge into one bin of the doubled width exactly; the result depends on the values
    alone, not on their order.
    """

    exponent: int = 0
    first: int = 0
    counts: Counts = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def width(self) -> float:
        """Width of a bin."""
        return math.ldexp(1.0, self.exponent)

    @property
    def centers(self) -> Values:
        """Middle of each bin."""
        return np.asarray((self.first + np.arange(len(self.counts)) + 0.5) * self.width)

    @override
    def update(self, array: Array) -> None:
        """Take in the values of an array; it has no use once one was not finite."""
        super().update(array)
        if not array.size or not self.is_finite:
            return
        exponent = self._widen()
        # Exact in float32, since the factor is a power of two.
        scaled = _thinned(array.ravel()).astype(np.float32, copy=False) * np.float32(2.0**-exponent)
        indices = np.floor(scaled, out=scaled).astype(np.intp)
        self._cover(int(indices.min()), int(indices.max()))
        self.counts += np.bincount(indices - self.first, minlength=len(self.counts))

    def _widen(self) -> int:
        """Double the width until the range and 0 fit in the bins, merging those there are."""
        span = max(max(self.highest, 0.0) - min(self.lowest, 0.0), SMALLEST_SPAN)
        needed = math.ceil(math.log2(span / (MAXIMUM_BINS - 1)))
        if not len(self.counts):
            self.exponent = needed
        while self.exponent < needed:
            self.exponent += 1
            self._merge_neighbours()
        return self.exponent

    def _merge_neighbours(self) -> None:
        """Move every bin into the one of twice its width."""
        padded = np.pad(self.counts, (self.first % 2, 0))
        padded = np.pad(padded, (0, len(padded) % 2))
        self.counts = padded.reshape(-1, 2).sum(axis=1)
        self.first //= 2

    def _cover(self, first: int, last: int) -> None:
        """Add empty bins so that both indices have one."""
        if not len(self.counts):
            self.first = first
        before = max(self.first - first, 0)
        after = max(last + 1 - self.first - len(self.counts), 0)
        self.counts = np.pad(self.counts, (before, after))
        self.first -= before


def _thinned(values: Array) -> Array:
    """Return at most `MAXIMUM_COUNTED` of the values.

    The step has no divisor in common with the size, so that no row or channel is preferred.
    """
    step = -(-values.size // MAXIMUM_COUNTED)
    while math.gcd(step, values.size) > 1:
        step += 1
    return values[::step]
