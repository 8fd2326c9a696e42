"""Which nodes cost the answers, why, and how to mend it."""

from typing import Literal

from pydantic import Field

from worker.engine.report.base import ReportPart
from worker.engine.samples import DataOrigin
from worker.engine.spec import Spec


class ValuePicture(ReportPart):
    """How the values of a weight or an activation lie, and the range that integers give them.

    Bin `i` of `counts` holds the values from `lowest + i * width` on, where `width` is
    `(highest - lowest) / len(counts)`.
    """

    what: Literal["weight", "input", "output"]
    name: str
    lowest: float
    highest: float
    counts: list[int]
    """At most 64 bins."""
    scale: float | None = None
    """Step from one integer to the next, the largest of several; null for floats."""
    scales: int | None = None
    """How many scales there are: one, one a channel or one a block."""
    zero_point: int | None = None
    """The integer of 0; null where there are several scales."""
    range_lowest: float | None = None
    """The least value that an integer stands for; null where there are several scales."""
    range_highest: float | None = None
    clipped_share: float | None = None
    """Share of the values outside of the range."""


class BlamedNode(ReportPart):
    """What compressing one node, with those that became one with it, does to the answers."""

    node: str
    op_type: str
    nodes: list[str]
    """All nodes that were compressed together; often the node alone."""
    local_sqnr_db: float | None
    """Its own doing: its compressed output on the original's inputs, against the original's. Null
    where that is equal or could not be told."""
    alone_sqnr_db: float | None
    """Of the worst output when only this node is compressed; null where it was not measured."""
    restored_sqnr_db: float | None = None
    """Of the worst output when only this node stays in float; measured for the worst nodes."""
    explanation: str = ""
    pictures: list[ValuePicture] = Field(default_factory=list)


class CurvePoint(ReportPart):
    """The fidelity of the worst output with some nodes kept in float, or at more bits."""

    nodes: int
    kept: list[str]
    """Those that are kept beyond the point before."""
    sqnr_db: float
    is_rerun: bool
    """Whether the passes ran again; else the nodes were exchanged in the finished result."""


class Repair(ReportPart):
    """The least change of the spec that was found to mend the result."""

    spec: Spec
    """Ready to be submitted as the `spec` of a job on the same model and data."""
    change: str
    sqnr_db: float
    """Of the worst output, measured by running the passes again with the change."""
    samples: int
    """On how many samples of the evaluation: all of them, unless the time did not allow it."""


class Blame(ReportPart):
    """Where the fidelity went; all figures are of the worst output, or part of one."""

    data: DataOrigin
    samples: int
    sqnr_db: float
    """Of the result on these samples."""
    nodes: list[BlamedNode]
    """Every compressed node, the worst first."""
    curve: list[CurvePoint]
    repair: Repair | None = None
    """Null where no single node stands out, or no change of the spec was found to mend it."""
    notes: list[str] = Field(default_factory=list)
