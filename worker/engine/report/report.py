"""The report: what was measured, on which machine, from which data."""

from typing import Literal

from worker.engine.passes.base import SkippedNode
from worker.engine.report.base import ReportPart
from worker.engine.report.blame import Blame
from worker.engine.report.contents import LayerError, ModelMeasures, PassReport
from worker.engine.report.frontier import Frontier
from worker.engine.report.kernels import KernelProfile
from worker.engine.report.provenance import Manifest
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.report.spending import Spending
from worker.engine.report.timings import Latency, Loading
from worker.engine.report.verdict import Verdict


class Report(ReportPart):
    """Everything a job measured."""

    schema_version: Literal[1] = 1
    verdict: Verdict
    before: ModelMeasures
    after: ModelMeasures
    fidelity: list[OutputFidelity]
    accuracy: list[Score]
    latency: Latency | None
    loading: Loading | None = None
    """Null where latency was not measured, on a GPU, and where a run of both models takes over 3
    seconds."""
    kernels: KernelProfile | None = None
    """Null where `loading` is, where loading both takes over 3 seconds, and where a model runs
    more kernels than can be recorded."""
    peak_memory_bytes: int
    """Peak resident memory of the process that did the work."""
    layers: list[LayerError]
    """Worst first."""
    blame: Blame | None = None
    """Which nodes cost the answers, and what would mend it; null where it was not looked into,
    as for a goal: submit the spec of a point for that."""
    passes: list[PassReport]
    skipped: list[SkippedNode]
    preparation: list[str]
    """What was mended or folded before the passes, and tidied up after them."""
    frontier: Frontier | None = None
    """Of a job with a goal: what was tried."""
    durations_seconds: dict[str, float]
    """Wall time of each stage."""
    spending: Spending | None = None
    """What the service itself spent; null in reports from before this was kept."""
    manifest: Manifest
