"""The search for the smallest file: bits of single weights, down as far as the limits allow."""

import math
from collections.abc import Sequence

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
PLENTY = 3
"""Times the least that the best rounding takes: so much time is enough for it."""
CLOSE_STEPS = 0.02
"""Of all steps: what lies closer together is as good as the same."""


def smallest(study: Study) -> None:
    """Try weights at 4 bits, then allocations of 8, 4 and 2 bits.

    Where time is short the quickest rounding comes first, as the best may not be done in time.

    Raises:
        BudgetSpentError: the time is up.
        NotStartedError: what is left of it is too short for one more.
    """
    everything = WeightOverride(weights=("*",), bits=4)
    four = WeightQuantization(bits=4, overrides=(everything,), runtime_form="folded")
    careful = Proposal("weights at 4 bits", [four])
    if study.budget.left_seconds < PLENTY * study.least_seconds(careful):
        plain = four.model_copy(update={"error_compensation": False})
        study.try_(Proposal("weights at 4 bits, each rounded to its nearest", [plain]))
    study.try_(careful)
    steps = _steps(study, FEW_BITS)
    if not steps:
        return
    best = _bisect(study, steps, _steps_at(steps, FIRST_DB), len(steps) + 1)
    for block_size in LARGER_BLOCKS:
        if best and _is_affordable(study):
            _try(study, steps, best, block_size)


def fewest_halves(study: Study) -> None:
    """Try allocations of 16 and 8 bits, where all at 16 keep the limits and all at 8 do not.

    Raises:
        BudgetSpentError: the time is up.
    """
    steps = _steps(study, EIGHT_BITS)
    if len(steps) > 1:
        _bisect(study, steps, _between(steps, 0, len(steps)), len(steps))


def _steps(study: Study, levels: Sequence[Bits]) -> list[Step]:
    """Return the way down to few bits, none where no weight could be measured."""
    try:
        with study.work_folder() as folder:
            sensitivity = Sensitivity(study.original, folder, study.progress())
            return steps_down(sensitivity.measure(study.budget, levels))
    except BudgetSpentError:
        raise
    except EngineError:
        return []


def _bisect(study: Study, steps: Sequence[Step], count: int, bad: int) -> int:
    """Return the most steps down that keep the answers, 0 where none do; `bad` are too many.

    Fewer steps are taken to make better answers; where to look next is the middle of the predicted
    fidelities between what kept them and what did not.
    """
    good = 0
    for _ in range(TRIALS):
        point = _try(study, steps, count, BLOCK_SIZE)
        if point is not None and keeps_answers(study.goal, point):
            good = count
        else:
            bad = count
        if bad - good <= max(1, CLOSE_STEPS * len(steps)):
            break
        count = _between(steps, good, bad)
    return good


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


def _try(study: Study, steps: Sequence[Step], count: int, block_size: int) -> Point | None:
    step = pass_after(steps, count, block_size)
    others = "".join(f", {len(each.weights)} at {each.bits}" for each in step.overrides[1:])
    blocks = "" if block_size == BLOCK_SIZE else f" in blocks of {block_size}"
    return study.try_(Proposal(f"weights at 8 bits{others}{blocks}", [step]))


def _is_affordable(study: Study) -> bool:
    """Return whether rounding all weights once more fits the time that is left."""
    longest = max((each.duration_seconds for each in study.tried), default=0.0)
    return study.budget.left_seconds > 1.5 * longest
