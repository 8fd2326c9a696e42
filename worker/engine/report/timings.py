"""How fast both models are."""

from worker.engine.report.base import ReportPart


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
