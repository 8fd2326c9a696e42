"""The search for the smallest file: bits of single weights, down as far as the limits allow."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worker.engine.errors import EngineError
from worker.engine.passes.weight_overrides import WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.allocation import Bits, Step, decibels, pass_after, steps_down
from worker.engine.search.budget import BudgetSpentError
from worker.engine.search.choosing import keeps_answers
from worker.engine.search.point import Point, Proposal
from worker.engine.search.sensitivity import EIGHT_BITS, FEW_BITS, Sensitivity
from worker.engine.search.study import Study

BLOCK_SIZE = 32
LARGER_BLOCKS = (64,)
TRIALS = 7
FIRST_DB = 10.0
"""Predicted fidelity of the first allocation that is tried."""
FEW = 3
"""Quickly rounded mixes that there should be time for beside careful rounding at 4 bits."""
PLENTY = 5
"""Mixes that there should be time for beside careful rounding at 2 bits."""
CLOSE_STEPS = 0.02
"""Of all steps: what lies closer together is as good as the same."""
FOUR = WeightQuantization(
    bits=4, overrides=(WeightOverride(weights=("*",), bits=4),), runtime_form="folded"
)
NEAREST = {"error_compensation": False}
QUICK = Proposal(
    "weights at 4 bits, each rounded to its nearest",
    (FOUR.model_copy(update=NEAREST),),
    is_tried_anyway=True,
)
CAREFUL = Proposal("weights at 4 bits", (FOUR,), is_tried_anyway=True)


def smallest(study: Study) -> None:
    """Try weights at 4 bits, then allocations of 8, 4 and 2 bits.

    Careful rounding may take many times as long as the quickest, and is for where time is plenty.

    Raises:
        BudgetSpentError: the time is up.
        NotStartedError: what is left of it is too short for one more.
    """
    study.try_(QUICK)
    is_careful = try_carefully(study)
    steps = _steps(study, FEW_BITS, is_careful=is_careful)
    if not steps:
        return
    mixing = Mixing(study, steps, is_careful=is_careful)
    best = mixing.bisect(_steps_at(steps, FIRST_DB), len(steps) + 1)
    for block_size in LARGER_BLOCKS:
        if best and _is_affordable(study):
            mixing.try_(best, block_size)


def try_carefully(study: Study) -> bool:
    """Try careful rounding at 4 bits; return whether there is time for it at 2 bits and for mixes.

    Rounding is what takes long, once for 4 and once for 2 bits: after it mixes are quick.
    """
    quick_seconds = study.least_seconds(QUICK)
    rounding_seconds = study.least_seconds(CAREFUL) - quick_seconds
    if study.budget.left_seconds < FEW * quick_seconds + rounding_seconds:
        took = f"it takes about {rounding_seconds:.3g} s more than the quickest rounding"
        study.leave_out(CAREFUL, f"{took}, and the time is for mixes of bits")
        return False
    careful = study.try_(CAREFUL)
    if careful is not None:
        rounding_seconds = careful.duration_seconds - quick_seconds
    return study.budget.left_seconds > PLENTY * quick_seconds + rounding_seconds


def fewest_halves(study: Study) -> None:
    """Try allocations of 16 and 8 bits, where all at 16 keep the limits and all at 8 do not.

    Raises:
        BudgetSpentError: the time is up.
    """
    steps = _steps(study, EIGHT_BITS)
    if len(steps) > 1:
        Mixing(study, steps).bisect(_between(steps, 0, len(steps)), len(steps))


def _steps(study: Study, levels: Sequence[Bits], *, is_careful: bool = True) -> list[Step]:
    """Return the way down to few bits, none where no weight could be measured."""
    try:
        with study.work_folder() as folder:
            progress = study.progress()
            sensitivity = Sensitivity(study.original, folder, progress, is_careful=is_careful)
            return steps_down(sensitivity.measure(study.budget, levels))
    except BudgetSpentError:
        raise
    except EngineError:
        return []


@dataclass(frozen=True)
class Mixing:
    """Tries allocations along one way down."""

    study: Study
    steps: Sequence[Step]
    is_careful: bool = True

    def bisect(self, count: int, bad: int) -> int:
        """Return the most steps that keep the answers, 0 where none do; `bad` are too many.

        Fewer steps are taken to make better answers; where to look next is the middle of the
        predicted fidelities between what kept them and what did not.
        """
        good = 0
        for _ in range(TRIALS):
            point = self.try_(count)
            if point is not None and keeps_answers(self.study.goal, point):
                good = count
            else:
                bad = count
            if bad - good <= max(1, CLOSE_STEPS * len(self.steps)):
                break
            count = _between(self.steps, good, bad)
        return good

    def try_(self, count: int, block_size: int = BLOCK_SIZE) -> Point | None:
        """Try so many steps."""
        step = pass_after(self.steps, count, block_size)
        others = "".join(f", {len(each.weights)} at {each.bits}" for each in step.overrides[1:])
        blocks = "" if block_size == BLOCK_SIZE else f" in blocks of {block_size}"
        name = f"weights at 8 bits{others}{blocks}"
        if not self.is_careful:
            step, name = step.model_copy(update=NEAREST), f"{name}, each rounded to its nearest"
        return self.study.try_(Proposal(name, [step]))


def _between(steps: Sequence[Step], good: int, bad: int) -> int:
    """Return a count of steps strictly between two, in the middle of their fidelities."""
    worst = decibels(steps[min(bad, len(steps)) - 1])
    best = decibels(steps[max(good, 1) - 1])
    count = _steps_at(steps, (best + worst) / 2)
    if math.isclose(best, worst) or not good < count < bad:
        count = (good + bad) // 2
    return count


def _steps_at(steps: Sequence[Step], wanted_db: float) -> int:
    """Return how many steps keep a predicted fidelity, at least one."""
    return max(1, sum(decibels(step) >= wanted_db for step in steps))


def _is_affordable(study: Study) -> bool:
    """Return whether rounding all weights once more fits the time that is left."""
    longest = max((each.duration_seconds for each in study.tried), default=0.0)
    return study.budget.left_seconds > 1.5 * longest
