"""How fast both models are."""

from pydantic import Field

from worker.engine.report.base import ReportPart

SAME_SPEED = 0.03
"""By how much two sessions of one model may differ: what memory each happens to get makes 1 or 2 %
that no number of runs averages out."""


class LatencySamples(ReportPart):
    """One model's timed runs, in seconds."""

    samples_seconds: list[float]
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float


class RatioInterval(ReportPart):
    """Where a ratio lies, with a confidence in [0, 1]."""

    low: float
    high: float
    confidence: float

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the interval, its ends included."""
        return self.low <= value <= self.high


class Latency(ReportPart):
    """Interleaved runs of both models, in pairs.

    Pairs start with either model in turn, and two in a row make a round, whose ratio is the time
    of the compressed model's runs over that of the original's; `ratio` is the median of rounds.
    """

    threads: int
    batch_size: int
    execution_provider: str
    before: LatencySamples
    after: LatencySamples
    ratio: float
    ratio_interval: RatioInterval | None = None
    """Of the ratio, from the order statistics of the rounds' ratios; null for a single round."""
    left_out_rounds: int = 0
    """Rounds in which a run on one thread waited for a processor, where ten others remain."""
    noisy: bool = False
    """Whether the machine was too busy for timings that can be trusted."""
    noise: list[str] = Field(default_factory=list)
    """What says so."""
    load_seconds_before: float
    load_seconds_after: float

    def of_one_model(self) -> "Latency":
        """Return the same of a model beside itself, which is as fast whatever its runs say."""
        certain = RatioInterval(low=1.0, high=1.0, confidence=1.0)
        return self.model_copy(update={"ratio": 1.0, "ratio_interval": certain})

    @property
    def is_slower(self) -> bool:
        """Whether the compressed model is slower, beyond what chance makes of runs and sessions."""
        return self.ratio > 1 + SAME_SPEED and not self._may_be(1.0)

    @property
    def is_faster(self) -> bool:
        """Whether the compressed model is faster, beyond what chance makes of runs and sessions."""
        return self.ratio < 1 - SAME_SPEED and not self._may_be(1.0)

    def _may_be(self, ratio: float) -> bool:
        return self.ratio_interval is None or self.ratio_interval.holds(ratio)


class FirstLoad(ReportPart):
    """What it takes to load one model and run it once, on a CPU.

    The file is in the system's cache, so that no disk is timed. Memory is null where the system
    does not tell (macOS).
    """

    load_seconds: float
    run_seconds: float
    """Of the first run, which also sets up what later runs use again."""
    peak_memory_bytes: int | None
    """Most that was resident for this model, of its load and its first run."""
    memory_bytes: int | None
    """What is still resident after the first run."""


class Loading(ReportPart):
    """Both models loaded from their files in turn; medians of so many loads of each."""

    loads: int
    before: FirstLoad
    after: FirstLoad
