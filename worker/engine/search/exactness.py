"""How exact the answers of integers have to be: less and less, as far as the limits allow."""

import math
from collections.abc import Callable

from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.search.choosing import keeps_answers
from worker.engine.search.point import Point, Proposal
from worker.engine.spec import Goal

LOOSER_DB = 12.0
LOOSEST_DB = 4.0
"""How close answers are asked to be where integers compute. Scores often allow far less than the
passes ask for by default; below 3 dB a result counts as ruined."""
CLOSE_DB = 1.0
"""What lies closer together is as good as the same."""
TRIALS = 2


class Exactness:
    """A method of integers, and what became of it with how much asked of its answers.

    `try_` returns the point of a proposal, None where there is none.
    """

    def __init__(
        self,
        name: str,
        method: type[StaticQuantization | DynamicQuantization],
        goal: Goal,
        try_: Callable[[Proposal], Point | None],
    ) -> None:
        self._name = name
        self._method = method
        self._goal = goal
        self._try = try_
        self._kept = math.inf
        self._missed = -math.inf

    def try_default(self) -> None:
        """Try what the method asks for by itself."""
        self._note(self._method(), self._name)

    def try_at(self, wanted_db: float) -> None:
        """Try with so much asked for."""
        step = self._method(fallback_sqnr_db=wanted_db)
        self._note(step, f"{self._name}, {wanted_db:g} dB asked for")

    def narrow(self) -> None:
        """Try between the least that kept the limits and the most that did not."""
        for _ in range(TRIALS):
            if not CLOSE_DB < self._kept - self._missed < math.inf:
                return
            self.try_at((self._kept + self._missed) / 2)

    def _note(self, step: StaticQuantization | DynamicQuantization, name: str) -> None:
        point = self._try(Proposal(name, [step]))
        if point is not None and keeps_answers(self._goal, point):
            self._kept = min(self._kept, step.fallback_sqnr_db)
        elif step.fallback_sqnr_db < self._kept:
            self._missed = max(self._missed, step.fallback_sqnr_db)
