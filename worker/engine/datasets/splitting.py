"""Splitting samples: some calibrate, others verify."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, islice

from worker.engine.samples import DataOrigin, Sample, SampleSource

HELD_OUT_EVERY = 5


@dataclass(frozen=True, eq=False)
class SampleSelection:
    """Some of the samples of a source, in its order; equal to itself alone, as all sources are."""

    source: SampleSource
    chosen: tuple[bool, ...]

    @property
    def origin(self) -> DataOrigin:
        """Where the samples come from."""
        return self.source.origin

    def __len__(self) -> int:
        return sum(self.chosen)

    def __iter__(self) -> Iterator[Sample]:
        last = max((index for index, chosen in enumerate(self.chosen) if chosen), default=-1)
        return compress(islice(self.source, last + 1), self.chosen)


def hold_out(samples: SampleSource) -> tuple[SampleSource, SampleSource]:
    """Return samples for calibration, and every fifth for verification.

    Of fewer than five samples the last is held out; a single one has to do both.
    """
    count = len(samples)
    if count < 2:
        return samples, samples
    every = min(HELD_OUT_EVERY, count)
    held = tuple(index % every == every - 1 for index in range(count))
    return (
        SampleSelection(samples, tuple(not chosen for chosen in held)),
        SampleSelection(samples, held),
    )


def at_most(samples: SampleSource, count: int | None) -> SampleSource:
    """Return the first samples of a source, or all of them."""
    if count is None or count >= len(samples):
        return samples
    return SampleSelection(samples, tuple(index < count for index in range(len(samples))))


def first(samples: SampleSource, count: int) -> list[Sample]:
    """Return the first few samples, loaded."""
    return list(islice(samples, count))
