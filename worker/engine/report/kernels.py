"""Where each model's time goes, kernel by kernel, and why one is not faster."""

from worker.engine.report.base import ReportPart


class OpTypeTime(ReportPart):
    """The kernels of one operator type in one run of each model."""

    op_type: str
    """As onnxruntime runs it, such as `FusedConv` or `QLinearConv`."""
    count_before: int
    count_after: int
    seconds_before: float
    seconds_after: float


class KernelTime(ReportPart):
    """One kernel in one run; a node inside a loop counts all of its turns."""

    node: str
    op_type: str
    seconds: float


class KernelProfile(ReportPart):
    """Kernel times on one thread, from onnxruntime's profiler: the medians of some runs.

    Profiling itself takes time, and the profiler counts whole microseconds, so the sums are not
    the latency.
    """

    runs: int
    seconds_before: float
    seconds_after: float
    op_types: list[OpTypeTime]
    """The dearest of the result first."""
    slowest_before: list[KernelTime]
    slowest_after: list[KernelTime]
    reasons: list[str]
    """Why the compressed model is not faster; empty where it is."""
