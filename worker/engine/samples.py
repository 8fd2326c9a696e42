"""What the engine reads samples from: a re-iterable stream of feeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]
DataOrigin = Literal["dataset", "synthetic"]


@dataclass(frozen=True)
class Sample:
    """One run of the model: an array for each graph input, and its labels where given."""

    feeds: Feeds
    labels: Array | None = None


class SampleSource(Protocol):
    """Samples that can be iterated any number of times, never all in memory at once."""

    @property
    def origin(self) -> DataOrigin:
        """Where the samples come from; every number derived from them carries it."""

    def __len__(self) -> int:
        """Return the number of samples, each one run of the model."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples in a fixed order."""
