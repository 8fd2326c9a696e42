"""What a search for a goal tried, and which of it is worth a choice."""

from typing import Literal

from pydantic import Field

from worker.engine.report.base import ReportPart
from worker.engine.report.quality import Score
from worker.engine.spec import Goal, Spec

Role = Literal["chosen", "alternative_1", "alternative_2"]


class FrontierPoint(ReportPart):
    """One candidate: made and measured as a job of its own would, but for fewer timed runs.

    Figures that were not reached, because it failed or was dropped before, are null.
    """

    name: str
    spec: Spec | None
    """Submit it to get this point again: every measured choice is written out. Null stands for the
    original, and for what could not be made."""
    size_bytes: int | None = None
    size_ratio: float | None = None
    """Compressed over original file size."""
    latency_ratio: float | None = None
    """Compressed over original latency, the median of interleaved pairs of runs."""
    worst_sqnr_db: float | None = None
    """Of the worst output or part of one; null where answers are equal or not floating point."""
    scores: list[Score] = Field(default_factory=list)
    """None of the original, whose scores are those that all others are compared with."""
    meets_goal: bool = False
    missed: list[str] = Field(default_factory=list)
    """The limits it does not keep, with what was measured."""
    is_pareto_optimal: bool = False
    """Whether no other point is at least as good in size, latency and answers, and better in one
    of them."""
    dropped: str | None = None
    """Why it was given up, or is not the choice."""
    role: Role | None = None
    """Which artifact of the job it is."""
    duration_seconds: float
    """What it took to make and measure it."""

    @property
    def why_not(self) -> str:
        """What speaks against it: of limits what was measured, which says more than their names."""
        return "; ".join(self.missed) or self.dropped or ""


class Frontier(ReportPart):
    """What a search for a goal tried, in that order, the original first."""

    goal: Goal
    is_met: bool
    """Whether the chosen point keeps all limits, as the verdict says."""
    conclusion: str
    """What was found, and what stood in the way, in one sentence."""
    points: list[FrontierPoint]
    ended: Literal["nothing left to try", "budget spent"]
    spent_seconds: float
    """Wall time of the search and of what came before it."""
