"""What a search knows of one candidate once its model is out of memory."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from worker.engine.candidate import Making
from worker.engine.decibels import EQUAL_DB
from worker.engine.evaluation import Comparison
from worker.engine.gates import judge, sqnr_of
from worker.engine.measurements import Measurements
from worker.engine.passes.base import Pass
from worker.engine.report.timings import Latency
from worker.engine.report.verdict import GateResult
from worker.engine.spec import Gates


@dataclass(frozen=True)
class Proposal:
    """Passes to try, and what to call them."""

    name: str
    passes: Sequence[Pass]
    is_tried_anyway: bool = False
    """Whether it is tried whatever the answers of others are: no luck of theirs led to it."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of its passes, which tell how long it takes."""
        return tuple(step.method for step in self.passes)


@dataclass
class Attempt:
    """A proposal of which no point came, and why."""

    proposal: Proposal
    dropped: str
    duration_seconds: float
    is_started: bool = True
    is_ruined: bool = False
    """Whether it was made, and its answers are too bad to be returned under any limits."""


@dataclass(eq=False)
class Point:
    """A candidate that was made and measured."""

    proposal: Proposal
    making: Making
    artifact: Path | None
    """None once it was removed, as another point is better in everything."""
    sha256: str
    comparison: Comparison
    measured: Measurements
    gates: list[GateResult]
    warnings: list[str]
    duration_seconds: float

    def measure_again(
        self,
        latency: Latency | None,
        limits: Gates,
        others: Mapping[str, object] | None = None,
    ) -> None:
        """Put a better measurement of the latency in the place of the first, and judge it.

        `others` are further parts of the report that were measured with it.
        """
        self.measured = replace(self.measured, latency=latency, others=others or {})
        self.gates = judge_gates(limits, self.measured)

    @property
    def is_original(self) -> bool:
        """Whether nothing was done to the model."""
        return not self.proposal.passes

    @property
    def seconds_of_a_run(self) -> float:
        """The median of the original's runs, 0 where they are not timed."""
        latency = self.measured.latency
        return 0.0 if latency is None else latency.before.p50_seconds

    @property
    def size_bytes(self) -> int:
        """Of the file and its external data."""
        return self.measured.after.size_bytes

    @property
    def size_ratio(self) -> float:
        """Compressed over original file size."""
        return self.measured.size_ratio

    @property
    def latency_ratio(self) -> float:
        """Compressed over original latency; 1 where that is not measured."""
        ratio = self.measured.latency_ratio
        return 1.0 if ratio is None else ratio

    @property
    def worst_sqnr_db(self) -> float | None:
        """Of the worst part of any output; None where none is floating point."""
        return self.measured.worst(sqnr_of)

    @property
    def fidelity_db(self) -> float:
        """The same as a number also where none is floating point, and answers are equal or not."""
        sqnr = self.worst_sqnr_db
        return EQUAL_DB if sqnr is None else sqnr

    @property
    def loss(self) -> float:
        """How much worse the answers are: by score where there are labels, else in decibels."""
        drop = self.measured.accuracy_drop
        if drop is not None:
            return max(0.0, drop)
        return -self.fidelity_db

    @property
    def missed(self) -> list[GateResult]:
        """The limits that it does not keep."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def meets_goal(self) -> bool:
        """Whether it keeps all limits."""
        return not self.missed


def judge_gates(gates: Gates, measured: Measurements) -> list[GateResult]:
    """Return each gate on what was measured of a candidate, and whether it holds.

    Limits on what is measured of a result only, such as the time to load, wait until it is.
    """
    limits = tuple(each for each in gates.limits if part_of(each.figure) in measured.parts)
    return judge(gates.model_copy(update={"limits": limits}), measured, []).gates


def part_of(figure: str) -> str:
    """Return the part of the report that a figure is in."""
    return re.split(r"[.\[]", figure, maxsplit=1)[0]
