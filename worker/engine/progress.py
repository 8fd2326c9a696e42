"""Progress of a whole compression, whose stages each count for themselves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.engine.accounting import Accounts
from worker.engine.requests import ReportProgress

SPANS = {
    "preparing": (0.0, 0.05),
    "compressing": (0.05, 0.65),
    "searching": (0.05, 0.9),
    "verifying": (0.65, 0.7),
    "evaluating": (0.7, 0.85),
    "measuring": (0.85, 0.95),
    "blaming": (0.95, 1.0),
}
PASS_SPANS = {"calibrating": (0.0, 0.7), "compressing": (0.7, 1.0)}


class Progress:
    """Turns a fraction of a stage into one of the whole, which never goes back."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self._reached = 0.0
        self.accounts = Accounts()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """Enter a stage, on its account; yields what takes the fraction of it that is done."""
        with self.accounts.stage(name):
            self._advance(name, _within(SPANS[name], 0.0))
            yield lambda fraction: self._advance(name, _within(SPANS[name], fraction))
            self._advance(name, _within(SPANS[name], 1.0))

    def of_pass(self, index: int, count: int) -> Callable[[str, float], None]:
        """Return what the pass of this index reports its own stages to."""

        def report(stage: str, fraction: float) -> None:
            in_pass = _within(PASS_SPANS[stage], fraction)
            self._advance(stage, _within(SPANS["compressing"], (index + in_pass) / count))

        return report

    def _advance(self, stage: str, reached: float) -> None:
        self._reached = max(self._reached, reached)
        self._report(stage, self._reached)


def _within(span: tuple[float, float], fraction: float) -> float:
    start, end = span
    return start + (end - start) * min(1.0, max(0.0, fraction))
