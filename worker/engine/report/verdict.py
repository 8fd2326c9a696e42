"""Whether the gates hold."""

from typing import Literal

from worker.engine.report.base import ReportPart
from worker.engine.samples import DataOrigin


class GateResult(ReportPart):
    """One gate: its limit, what was measured and whether it holds.

    `measured` is null, and the gate missed, where the figure could not be measured.
    """

    gate: str
    limit: float
    measured: float | None
    unit: str = ""
    """Of both numbers; empty where they have none."""
    bound: Literal["at_most", "at_least"] | None = None
    """Which side of the limit is right; null in reports from before this was kept."""
    passed: bool
    data: DataOrigin | Literal["file"]
    detail: str


class Verdict(ReportPart):
    """Whether every gate holds, one sentence for people, and what they should know."""

    passed: bool
    summary: str
    gates: list[GateResult]
    warnings: list[str]
