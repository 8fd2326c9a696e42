"""Running statistics of each channel of a tensor, from the first samples of many."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from worker.engine.calibration.histogram import RunningRange
from worker.engine.samples import Array

CHANNEL_SAMPLES = 16

Vector = npt.NDArray[np.float64]


@dataclass
class ChannelStatistics(RunningRange):
    """The extremes, the mean and the mean square of each channel."""

    most_samples: ClassVar[int | None] = CHANNEL_SAMPLES
    axis: ClassVar[int]

    lows: Vector = field(default_factory=lambda: np.zeros(0))
    highs: Vector = field(default_factory=lambda: np.zeros(0))
    sums: Vector = field(default_factory=lambda: np.zeros(0))
    squares: Vector = field(default_factory=lambda: np.zeros(0))

    @override
    def update(self, array: Array) -> None:
        """Take in the values of an array, whose channels are always as many."""
        if not array.size:
            return
        super().update(array)
        values = array.astype(np.float32, copy=False)
        others = tuple(each for each in range(array.ndim) if each != self.axis % array.ndim)
        lows, highs = values.min(others), values.max(others)
        if not self.lows.size:
            self.lows, self.highs = lows.astype(np.float64), highs.astype(np.float64)
            self.sums, self.squares = np.zeros(len(lows)), np.zeros(len(lows))
        self.lows = np.minimum(self.lows, lows)
        self.highs = np.maximum(self.highs, highs)
        self.sums += values.sum(others, dtype=np.float64)
        self.squares += np.square(values).sum(others, dtype=np.float64)

    @property
    def largest(self) -> Vector:
        """Largest magnitude of each channel."""
        return np.asarray(np.maximum(self.highs, -self.lows))

    @property
    def means(self) -> Vector:
        """Mean of each channel."""
        return self.sums * len(self.sums) / max(self.count, 1)

    @property
    def mean_squares(self) -> Vector:
        """Mean of the squared values of each channel."""
        return self.squares * len(self.squares) / max(self.count, 1)


@dataclass
class MapChannels(ChannelStatistics):
    """Of the second axis, as a Conv reads its input; of a Gemm's rows that is the last as well."""

    axis: ClassVar[int] = 1


@dataclass
class RowChannels(ChannelStatistics):
    """Of the last axis, as a MatMul reads its input."""

    axis: ClassVar[int] = -1
