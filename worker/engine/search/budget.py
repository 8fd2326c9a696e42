"""The time a search may take: the only clock that its choices depend on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from typing_extensions import override

from worker.engine.errors import EngineError
from worker.engine.progress import Progress


class BudgetSpentError(EngineError):
    """The time is up; a candidate that is being made is given up."""

    default_code = "budget_spent"


class NotStartedError(EngineError):
    """A candidate would take longer than the time that is left; a quicker one may fit."""

    default_code = "not_started"


class Budget:
    """Seconds that a job may take from its start, and those to keep back for its end."""

    def __init__(self, seconds: float, started: float) -> None:
        self.seconds = seconds
        self.reserve_seconds = 0.0
        """Kept back for what has to follow the search."""
        self._started = started

    @property
    def spent_seconds(self) -> float:
        """Wall time since the job started."""
        return time.perf_counter() - self._started

    @property
    def left_seconds(self) -> float:
        """Wall time that the search has left, less than nothing where it took too long."""
        return self.seconds - self.reserve_seconds - self.spent_seconds

    @property
    def seconds_to_end(self) -> float:
        """Wall time until the whole job is to end, what is kept back for its end included."""
        return self.seconds - self.spent_seconds

    @property
    def fraction(self) -> float:
        """Share of the search's time that is spent, from 0 to 1."""
        return min(1.0, self.spent_seconds / max(self.seconds - self.reserve_seconds, 1e-9))

    def check(self) -> None:
        """Raise BudgetSpentError once nothing is left."""
        if self.left_seconds <= 0:
            raise BudgetSpentError("the budget was spent before it was done")


class SearchProgress(Progress):
    """The progress of one candidate among many: none of its own, and an end when time is up."""

    def __init__(self, budget: Budget, whole: Callable[[float], None]) -> None:
        super().__init__(lambda *_: None)
        self._budget = budget
        self._report_whole = whole

    @override
    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        self.tick()
        yield lambda _: self.tick()
        self.tick()

    @override
    def of_pass(self, index: int, count: int) -> Callable[[str, float], None]:
        return lambda *_: self.tick()

    def tick(self) -> None:
        """Report how much of the time is spent, and stop when all is."""
        self._report_whole(self._budget.fraction)
        self._budget.check()
