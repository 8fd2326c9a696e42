"""How far a compressed model's answers moved, and what its task says of them."""

from typing import ClassVar, Literal

from pydantic import Field

from worker.engine.report.base import ReportPart
from worker.engine.samples import DataOrigin


class ChannelGroup(ReportPart):
    """Channels of one output that share a scale, and how far they moved."""

    axis: int
    channels: str
    """Indices along the axis, as in `0-3, 5`."""
    peak: float
    """The original's largest value."""
    sqnr_db: float | None
    """Pooled over all samples; null means equal answers."""


class Interval(ReportPart):
    """Where a figure lies in 95 of 100 draws of samples like these (percentile bootstrap)."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the interval, its ends included."""
        return self.low <= value <= self.high


class ShownValue(ReportPart):
    """One value of an answer, before and after; null where it is not finite."""

    place: list[int]
    """Its index along each axis."""
    before: float | str | None
    after: float | str | None


class OutputFidelity(ReportPart):
    """How far one graph output moved, compressed against original.

    `sqnr_db` pools all samples: 10 log10(sum(ref²) / sum((ref - out)²)); null means equal answers.
    An output that is not floating point (class numbers, text, masks) has an `agreement` instead,
    and its other figures are null.
    """

    output: str
    data: DataOrigin
    samples: int
    sqnr_db: float | None = None
    sqnr_interval: Interval | None = None
    worst_sample_sqnr_db: float | None = None
    worst_sample: int
    worst_sample_values: list[ShownValue] = Field(default_factory=list)
    """The highest values of the worst sample's two answers and those that moved most, or some that
    differ where they are not floating point; none where the answers differ in shape."""
    cosine: float | None = None
    max_abs_error: float | None = None
    rms_error: float | None = None
    """The root of the mean squared error."""
    peak: float | None = None
    """The original's largest value."""
    argmax_agreement: float | None = None
    """Share of equal argmax over the last axis; null where the output has no such axis."""
    argmax_interval: Interval | None = None
    threshold: float | None = None
    """Values above it mean yes: as declared, else 0.5 for what a sigmoid computes."""
    flips: float | None = None
    """Share of decisions at the threshold that came out the other way."""
    flips_interval: Interval | None = None
    yes_overlap: float | None = None
    """What both models say yes to, over what either does: the IoU of their masks."""
    rank_correlation: float | None = None
    """Spearman's, of the values of each sample, or of all samples where each has one value."""
    agreement: float | None = None
    """Share of equal values; null for floating point."""
    non_finite: int = 0
    """Values that are NaN or infinite in the compressed output only."""
    shape_mismatches: int = 0
    """Samples for which the output changed its shape; missing values count as zeros."""
    groups: list[ChannelGroup] = Field(default_factory=list)
    """Where parts of the output lie on scales far apart, such as boxes and scores, each by itself;
    the whole output's figures then say little about its smaller parts."""


class Score(ReportPart):
    """One labelled score of both models.

    The intervals draw the same samples for both, so that `difference_interval`, of `after` less
    `before`, may be much narrower than theirs. They are null for a single sample.
    """

    name: str = ""
    """As declared, else the metric's."""
    metric: str
    output: str
    labels: str = "labels"
    samples: int
    """Samples, or for pairs of samples that are compared, pairs."""
    before: float
    after: float
    larger_is_better: bool
    unit: Literal["share", "correlation", "none"] = "share"
    before_interval: Interval | None = None
    after_interval: Interval | None = None
    difference_interval: Interval | None = None

    derived: ClassVar[tuple[str, ...]] = ("difference", "drop")

    @property
    def difference(self) -> float:
        """The compressed model's score less the original's."""
        return self.after - self.before

    @property
    def drop(self) -> float | None:
        """How much worse the compressed model is; None of errors in units of their own."""
        if self.unit == "none":
            return None
        return self.before - self.after if self.larger_is_better else self.after - self.before

    @property
    def drop_interval(self) -> Interval | None:
        """Where the drop lies."""
        difference = self.difference_interval
        if difference is None or not self.larger_is_better:
            return difference
        # 0.0 is added as -0.0 would be shown with its sign.
        return Interval(low=0.0 - difference.high, high=0.0 - difference.low)

    @property
    def is_within_chance(self) -> bool:
        """Whether the interval of the difference contains no difference at all."""
        return self.difference_interval is not None and self.difference_interval.holds(0)
