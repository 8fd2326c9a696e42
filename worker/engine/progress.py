"""Progress of a whole compression, from stages and passes that each count for themselves."""

from collections.abc import Callable

from worker.engine.requests import ReportProgress

SPANS = {
    "preparing": (0.0, 0.05),
    "verifying": (0.65, 0.7),
    "evaluating": (0.7, 0.85),
    "measuring": (0.85, 1.0),
}
PASSES_SPAN = (0.05, 0.65)
PASS_SPANS = {"calibrating": (0.0, 0.7), "compressing": (0.7, 1.0)}


class Progress:
    """Turns a fraction of a stage into one of the whole, which never goes back."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self._reached = 0.0

    def stage(self, name: str, fraction: float) -> None:
        """Report a stage of the pipeline, done by a fraction in [0, 1]."""
        self._advance(name, _within(SPANS[name], fraction))

    def of_pass(self, index: int, count: int) -> Callable[[str, float], None]:
        """Return what the pass of this index reports its own stages to."""

        def report(stage: str, fraction: float) -> None:
            in_pass = _within(PASS_SPANS[stage], fraction)
            self._advance(stage, _within(PASSES_SPAN, (index + in_pass) / count))

        return report

    def _advance(self, stage: str, reached: float) -> None:
        self._reached = max(self._reached, reached)
        self._report(stage, self._reached)


def _within(span: tuple[float, float], fraction: float) -> float:
    start, end = span
    return start + (end - start) * min(1.0, max(0.0, fraction))
