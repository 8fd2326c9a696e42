"""How far a compressed model's outputs move from the original's, sample by sample."""

from dataclasses import dataclass, field
from math import sqrt

import numpy as np
import numpy.typing as npt

from worker.engine.agreement import DecisionSums
from worker.engine.channel_groups import ChannelSums
from worker.engine.decibels import signal_to_noise_db
from worker.engine.outputs import as_array
from worker.engine.report.quality import OutputFidelity, ShownValue
from worker.engine.samples import Array, DataOrigin
from worker.engine.worst_sample import shown_values

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
    threshold: float | None = None
    is_detailed: bool = False
    """Whether the order of values is compared and the worst sample shown, which takes time."""
    max_abs_error: float = 0.0
    peak: float = 0.0
    non_finite: int = 0
    shape_mismatches: int = 0
    worst: tuple[float, int] = field(default=(float("inf"), 0))
    worst_values: list[ShownValue] = field(default_factory=list)
    channels: ChannelSums = field(default_factory=ChannelSums)

    def __post_init__(self) -> None:
        self._decisions = DecisionSums(self.threshold, ranks=self.is_detailed)

    def add(self, reference: object, answer: object) -> None:
        """Take in one sample's outputs of the original and of the compressed model."""
        expected, actual = as_array(reference), as_array(answer)
        padded = expected, actual
        if expected.shape != actual.shape:
            self.shape_mismatches += 1
            padded = _padded(expected, actual)
        if expected.dtype.kind != "f":
            quality = self._add_discrete(*padded)
        else:
            self.channels.add(expected, actual)
            signal, noise = self._add_floats(*(each.astype(np.float64) for each in padded))
            self._decisions.add(expected, actual, signal, noise)
            ratio = signal_to_noise_db(signal, noise)
            quality = float("inf") if ratio is None else ratio
        if quality < self.worst[0]:
            self.worst = (quality, self.samples)
            self.worst_values = shown_values(expected, actual) if self.is_detailed else []
        self.samples += 1

    def result(self, data: DataOrigin, seed: int | None = None) -> OutputFidelity:
        """Return the figures over all samples so far; with a seed, their intervals too."""
        if self.is_discrete:
            return OutputFidelity(
                output=self.output,
                data=data,
                samples=self.samples,
                worst_sample=self.worst[1],
                worst_sample_values=self.worst_values,
                agreement=self.equal / self.values if self.values else 1.0,
                shape_mismatches=self.shape_mismatches,
            )
        worst_db, worst_sample = self.worst
        decisions = self._decisions.result(seed)
        return OutputFidelity(
            output=self.output,
            data=data,
            samples=self.samples,
            sqnr_db=signal_to_noise_db(self.signal, self.noise),
            sqnr_interval=decisions.sqnr_interval,
            worst_sample_sqnr_db=None if worst_db == float("inf") else worst_db,
            worst_sample=worst_sample,
            worst_sample_values=self.worst_values,
            cosine=self._cosine(),
            max_abs_error=self.max_abs_error,
            rms_error=sqrt(self.noise / self.values) if self.values else 0.0,
            peak=self.peak,
            argmax_agreement=decisions.argmax_agreement,
            argmax_interval=decisions.argmax_interval,
            threshold=self.threshold,
            flips=decisions.flips,
            flips_interval=decisions.flips_interval,
            yes_overlap=decisions.yes_overlap,
            rank_correlation=decisions.rank_correlation,
            non_finite=self.non_finite,
            shape_mismatches=self.shape_mismatches,
            groups=self.channels.groups(),
        )

    def _add_discrete(self, expected: Array, actual: Array) -> float:
        """Return the share of equal values."""
        self.is_discrete = True
        equal = int(np.sum(expected == actual))
        self.equal += equal
        self.values += expected.size
        return equal / expected.size if expected.size else 1.0

    def _add_floats(self, expected: Floats, actual: Floats) -> tuple[float, float]:
        """Return the energies of signal and noise."""
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
        return signal, noise

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
