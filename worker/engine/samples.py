"""What the engine reads samples from: a re-iterable stream of feeds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]
DataOrigin = Literal["dataset", "synthetic"]


@dataclass(frozen=True)
class Sample:
    """One run of the model: an array for each graph input, and its labels where given.

    `fields` are other arrays of labels by name; `number` is the place of the run's first label
    among all of the dataset's.
    """

    feeds: Feeds
    labels: Array | None = None
    fields: Feeds = field(default_factory=dict)
    number: int = 0

    def label_field(self, name: str) -> Array | None:
        """Return the labels of this name, None where there are none; `labels` are the usual."""
        return self.labels if name == "labels" else self.fields.get(name)

    def labelled_count(self) -> int:
        """Return how many samples the labels say the run has, 0 where there are none."""
        fields = [*self.fields.values(), *([] if self.labels is None else [self.labels])]
        return max(map(len, fields), default=0)


class SampleSource(Protocol):
    """Samples that can be iterated any number of times, never all in memory at once."""

    @property
    def origin(self) -> DataOrigin:
        """Where the samples come from; every number derived from them carries it."""

    def __len__(self) -> int:
        """Return the number of samples, each one run of the model."""

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples in a fixed order."""
