"""How far a compressed model's outputs move from the original's, sample by sample."""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import numpy.typing as npt

from worker.engine.channel_groups import ChannelSums
from worker.engine.decibels import signal_to_noise_db
from worker.engine.outputs import as_array
from worker.engine.report.quality import OutputFidelity
from worker.engine.samples import Array, DataOrigin

Floats = npt.NDArray[np.float64]


@dataclass
class OutputComparison:
    """Running sums over the samples of one graph output; memory does not grow with them.

    Where a sample's two outputs differ in shape, as with boxes that are kept or dropped, both are
    taken as flat and the shorter one filled with zeros.
    """

    output: str
    samples: int = 0
    values: int = 0
    equal: int = 0
    is_discrete: bool = False
    signal: float = 0.0
    noise: float = 0.0
    product: float = 0.0
    energy: float = 0.0
    max_abs_error: float = 0.0
    peak: float = 0.0
    non_finite: int = 0
    shape_mismatches: int = 0
    decisions: int = 0
    same_decisions: int = 0
    worst: tuple[float, int] = field(default=(float("inf"), 0))
    channels: ChannelSums = field(default_factory=ChannelSums)

    def add(self, reference: object, answer: object) -> None:
        """Take in one sample's outputs of the original and of the compressed model."""
        expected, actual = as_array(reference), as_array(answer)
        self._count_decisions(expected, actual)
        if expected.dtype.kind == "f":
            self.channels.add(expected, actual)
        if expected.shape != actual.shape:
            self.shape_mismatches += 1
            expected, actual = _padded(expected, actual)
        if expected.dtype.kind != "f":
            self._add_discrete(expected, actual)
        else:
            self._add_floats(expected.astype(np.float64), actual.astype(np.float64))
        self.samples += 1

    def result(self, data: DataOrigin) -> OutputFidelity:
        """Return the figures over all samples so far."""
        if self.is_discrete:
            return OutputFidelity(
                output=self.output,
                data=data,
                samples=self.samples,
                worst_sample=self.worst[1],
                agreement=self.equal / self.values if self.values else 1.0,
                shape_mismatches=self.shape_mismatches,
            )
        worst_db, worst_sample = self.worst
        return OutputFidelity(
            output=self.output,
            data=data,
            samples=self.samples,
            sqnr_db=signal_to_noise_db(self.signal, self.noise),
            worst_sample_sqnr_db=None if worst_db == float("inf") else worst_db,
            worst_sample=worst_sample,
            cosine=self._cosine(),
            max_abs_error=self.max_abs_error,
            rms_error=sqrt(self.noise / self.values) if self.values else 0.0,
            peak=self.peak,
            argmax_agreement=self.same_decisions / self.decisions if self.decisions else None,
            non_finite=self.non_finite,
            shape_mismatches=self.shape_mismatches,
            groups=self.channels.groups(),
        )

    def _add_discrete(self, expected: Array, actual: Array) -> None:
        self.is_discrete = True
        equal = int(np.sum(expected == actual))
        self.equal += equal
        self.values += expected.size
        self._note_worst(equal / expected.size if expected.size else 1.0)

    def _add_floats(self, expected: Floats, actual: Floats) -> None:
        finite = np.isfinite(expected)
        self.non_finite += int(np.sum(finite & ~np.isfinite(actual)))
        both = finite & np.isfinite(actual)
        expected, actual = expected[both], actual[both]
        error = np.abs(expected - actual)
        signal, noise = float(np.sum(expected**2)), float(np.sum(error**2))
        self.values += expected.size
        self.signal += signal
        self.noise += noise
        self.product += float(np.sum(expected * actual))
        self.energy += float(np.sum(actual**2))
        self.max_abs_error = max(self.max_abs_error, float(np.max(error, initial=0.0)))
        self.peak = max(self.peak, float(np.max(np.abs(expected), initial=0.0)))
        sqnr = signal_to_noise_db(signal, noise)
        if sqnr is not None:
            self._note_worst(sqnr)

    def _note_worst(self, quality: float) -> None:
        if quality < self.worst[0]:
            self.worst = (quality, self.samples)

    def _count_decisions(self, expected: Array, actual: Array) -> None:
        if expected.dtype.kind != "f" or expected.ndim < 2 or expected.shape[-1] < 2:
            return
        decisions = expected.size // expected.shape[-1]
        self.decisions += decisions
        if expected.shape == actual.shape:
            self.same_decisions += int(np.sum(expected.argmax(-1) == actual.argmax(-1)))

    def _cosine(self) -> float:
        """Return the cosine of both models' answers; 1 where both are nothing but zeros."""
        if self.signal == 0 or self.energy == 0:
            return 1.0 if self.signal == self.energy else 0.0
        return max(-1.0, min(1.0, self.product / sqrt(self.signal) / sqrt(self.energy)))


def _padded(expected: Array, actual: Array) -> tuple[Array, Array]:
    size = max(expected.size, actual.size)
    return (
        np.concatenate([expected.ravel(), np.zeros(size - expected.size, expected.dtype)]),
        np.concatenate([actual.ravel(), np.zeros(size - actual.size, actual.dtype)]),
    )
