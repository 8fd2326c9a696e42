"""Fidelity of parts of an output on scales of their own, such as a detector's boxes and scores.

Pooled over a whole output, errors of the small part vanish beside the signal of the large one: a
detector whose scores are all lost may still keep 28 dB, which are those of its boxes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.engine.decibels import signal_to_noise_db
from worker.engine.report.quality import ChannelGroup
from worker.engine.samples import Array

SCALE_GAP = 30.0
"""Between the peaks of channels that are next to each other in size, a gap that parts groups."""
FAINTEST_PEAK = 0.05
"""Channels that never reach this carry no signal, such as the scores of classes never seen."""
STEADY_SHARE = 1e-4
"""Channels whose variance is below this share of their energy are constants."""
MAX_CHANNELS = 2**16

Floats = npt.NDArray[np.float64]


class ChannelSums:
    """Running sums over samples for each channel of one output; a few numbers a channel.

    An output whose channels change their number from sample to sample has none.
    """

    def __init__(self) -> None:
        self._axis: int | None = None
        self._sums: Floats | None = None
        self._peaks: Floats | None = None
        self._has_channels = True

    def add(self, expected: Array, actual: Array) -> None:
        """Take in one sample's outputs of the original and of the compressed model."""
        axis = channel_axis(expected.shape) if self._axis is None else self._axis
        if axis is None or axis >= expected.ndim or expected.shape != actual.shape:
            self._has_channels = False
        if not self._has_channels or axis is None or expected.size == 0:
            return
        reference, answer = (
            np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1).astype(np.float64)
            for array in (expected, actual)
        )
        both = np.isfinite(reference) & np.isfinite(answer)
        reference, answer = np.where(both, reference, 0.0), np.where(both, answer, 0.0)
        sums = np.stack(
            [
                np.square(reference).sum(axis=1),
                np.square(reference - answer).sum(axis=1),
                reference.sum(axis=1),
                both.sum(axis=1),
            ]
        )
        peaks = np.abs(reference).max(axis=1)
        if self._sums is not None and self._sums.shape != sums.shape:
            self._has_channels = False
            return
        self._axis = axis
        self._sums = sums if self._sums is None else self._sums + sums
        self._peaks = peaks if self._peaks is None else np.maximum(self._peaks, peaks)

    def groups(self) -> list[ChannelGroup]:
        """Return the groups that carry a signal, none where all channels are on one scale."""
        if not self._has_channels or self._sums is None or self._peaks is None:
            return []
        groups = split_by_scale(self._peaks)
        if len(groups) < 2:
            return []
        signal, noise, total, count = self._sums
        variance = signal - np.square(total) / np.maximum(count, 1)
        return [
            ChannelGroup(
                axis=self._axis or 0,
                channels=as_ranges(sorted(group)),
                peak=float(self._peaks[group].max()),
                sqnr_db=signal_to_noise_db(float(signal[group].sum()), float(noise[group].sum())),
            )
            for group in groups
            if variance[group].sum() > STEADY_SHARE * signal[group].sum()
        ]


def channel_axis(shape: Sequence[int]) -> int | None:
    """Return the axis of an output that is most likely its channels; the first is the batch.

    That is the next, as in `(batch, channels, height, width)`, unless the last is the shortest.
    """
    axes = range(1, len(shape))
    if not axes:
        return None
    last = axes[-1]
    axis = last if all(shape[last] < shape[other] for other in axes[:-1]) else 1
    return axis if 2 <= shape[axis] <= MAX_CHANNELS else None


def split_by_scale(peaks: Floats) -> list[list[int]]:
    """Return the channels that carry a signal, in groups of one scale each, the largest first."""
    order = [int(channel) for channel in np.argsort(-peaks, kind="stable")]
    loud = [channel for channel in order if peaks[channel] >= FAINTEST_PEAK]
    groups: list[list[int]] = []
    for channel in loud:
        if groups and peaks[groups[-1][-1]] < SCALE_GAP * peaks[channel]:
            groups[-1].append(channel)
        else:
            groups.append([channel])
    return groups


def as_ranges(channels: Sequence[int]) -> str:
    """Return sorted numbers in short, as in `0-3, 5`."""
    ranges: list[tuple[int, int]] = []
    for channel in channels:
        if ranges and channel == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], channel)
        else:
            ranges.append((channel, channel))
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
