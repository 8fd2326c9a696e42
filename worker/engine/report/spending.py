"""What the service spent on the job."""

from worker.engine.report.base import ReportPart


class StageSpending(ReportPart):
    """What one stage took; processor time is that of all threads, user and system."""

    stage: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int | None
    """Peak resident memory of the process during the stage; null where only the peak of its whole
    life is known, as on macOS."""


class Spending(ReportPart):
    """What the whole job took in the process that did the work, from its request to this report.

    The start of that process, and the transfer of files, come on top.
    """

    stages: list[StageSpending]
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
