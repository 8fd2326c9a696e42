"""The report: what was measured, on which machine, from which data."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from worker.engine.passes.base import SkippedNode
from worker.engine.samples import DataOrigin


class ReportPart(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid")


class ModelMeasures(ReportPart):
    """One model's size and content. Byte counts include external data."""

    size_bytes: int
    deflated_bytes: int
    zstd_bytes: int
    parameter_count: int
    zero_fraction: float
    op_counts: dict[str, int]
    macs: int | None
    """Multiply-accumulates of one sample; null where shapes are not known."""


class ChannelGroup(ReportPart):
    """Channels of one output that share a scale, and how far they moved."""

    axis: int
    channels: str
    """Indices along the axis, as in `0-3, 5`."""
    peak: float
    """The original's largest value."""
    sqnr_db: float | None
    """Pooled over all samples; null means equal answers."""


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
    worst_sample_sqnr_db: float | None = None
    worst_sample: int
    cosine: float | None = None
    max_abs_error: float | None = None
    rms_error: float | None = None
    """The root of the mean squared error."""
    peak: float | None = None
    """The original's largest value."""
    argmax_agreement: float | None = None
    """Share of equal argmax over the last axis; null where the output has no such axis."""
    agreement: float | None = None
    """Share of equal values; null for floating point."""
    non_finite: int = 0
    """Values that are NaN or infinite in the compressed output only."""
    shape_mismatches: int = 0
    """Samples for which the output changed its shape; missing values count as zeros."""
    groups: list[ChannelGroup] = []
    """Where parts of the output lie on scales far apart, such as boxes and scores, each by itself;
    the whole output's figures then say little about its smaller parts."""


class Score(ReportPart):
    """One labelled score of both models."""

    metric: str
    output: str
    samples: int
    before: float
    after: float
    larger_is_better: bool


class LatencySamples(ReportPart):
    """One model's timed runs, in seconds."""

    samples_seconds: list[float]
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float


class Latency(ReportPart):
    """Interleaved runs of both models; `ratio` is compressed over original, the median of pairs."""

    threads: int
    batch_size: int
    execution_provider: str
    before: LatencySamples
    after: LatencySamples
    ratio: float
    load_seconds_before: float
    load_seconds_after: float


class LayerError(ReportPart):
    """What compressing one node did to its weight: SQNR of the stored against the original."""

    node: str
    op_type: str
    weight: str
    sqnr_db: float | None


class PassReport(ReportPart):
    """What one pass did."""

    method: str
    options: dict[str, Any]
    duration_seconds: float
    changed_nodes: list[str]
    notes: list[str]


class GateResult(ReportPart):
    """One gate: its limit, what was measured and whether it holds.

    `measured` is null, and the gate missed, where the figure could not be measured.
    """

    gate: str
    limit: float
    measured: float | None
    passed: bool
    data: DataOrigin | Literal["file"]
    detail: str


class Verdict(ReportPart):
    """Whether every gate holds, one sentence for people, and what they should know."""

    passed: bool
    summary: str
    gates: list[GateResult]
    warnings: list[str]


class Manifest(ReportPart):
    """What it takes to reproduce the artifact."""

    model_sha256: str
    artifact_sha256: str
    spec_sha256: str
    calibration_sha256: str | None
    evaluation_sha256: str | None
    seed: int
    versions: dict[str, str]
    cpu: str
    cpu_flags: list[str]
    platform: str
    execution_provider: str


class Report(ReportPart):
    """Everything a job measured."""

    schema_version: Literal[1] = 1
    verdict: Verdict
    before: ModelMeasures
    after: ModelMeasures
    fidelity: list[OutputFidelity]
    accuracy: list[Score]
    latency: Latency | None
    peak_memory_bytes: int
    """Peak resident memory of the process that did the work."""
    layers: list[LayerError]
    """Worst first."""
    passes: list[PassReport]
    skipped: list[SkippedNode]
    preparation: list[str]
    """What was mended or folded before the passes, and tidied up after them."""
    durations_seconds: dict[str, float]
    """Wall time of each stage."""
    manifest: Manifest
