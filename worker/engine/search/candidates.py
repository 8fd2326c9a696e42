"""What to try for a goal, in which order; each step looks at what came of those before."""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal, get_args

from worker.engine.passes.base import Pass
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.static_options import QuantizedOpType
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.budget import NotStartedError
from worker.engine.search.choosing import keeps_answers
from worker.engine.search.exactness import LOOSER_DB, LOOSEST_DB, Exactness
from worker.engine.search.good_enough import UNJUDGED
from worker.engine.search.point import Attempt, Point, Proposal
from worker.engine.search.smallest import fewest_halves, smallest
from worker.engine.search.study import Study

EVERY_OP_TYPE = get_args(QuantizedOpType)
EIGHT_BITS = 8
EIGHT = Proposal(
    "weights at 8 bits", (WeightQuantization(runtime_form="folded"),), is_tried_anyway=True
)
HALVES = Proposal("weights as float16", (Float16(),))
WHOLE = "static integers in all op types"
PACKED = (
    Proposal("8-bit weights packed at run time", (WeightQuantization(),)),
    Proposal("8-bit weights packed in large blocks", (WeightQuantization(block_size=128),)),
    Proposal("4-bit weights packed in large blocks", (WeightQuantization(bits=4, block_size=128),)),
)
"""Faster than float where few rows are multiplied with many values."""


def search_candidates(study: Study) -> None:
    """Try what may reach the goal, until nothing is left.

    Raises:
        BudgetSpentError: the time was up before.
    """
    goal = study.goal
    if not _is_real(study):
        study.original.samples.warnings.append(UNJUDGED)
    eight = _attempt(study, EIGHT)
    if goal.minimize != "latency":
        if _is_real(study) and (goal.methods is None or "weight_quantization" in goal.methods):
            with suppress(NotStartedError):
                _try_weights(study, eight)
        if goal.minimize == "size" and study.best[0].meets_goal and not study.best[0].is_original:
            return
    _try_integers(study)
    if goal.minimize != "size":
        for proposal in PACKED:
            _attempt(study, proposal)
    if not any(point.meets_goal for point in study.points if not point.is_original):
        _attempt(study, HALVES)


def _try_weights(study: Study, eight: Point | None) -> None:
    """Try fewer bits than 8 where those are enough, and mixes with 16 where only those are.

    What failed or did not fit the time says nothing of how many bits are enough.
    """
    goal = study.goal
    if eight is not None and keeps_answers(goal, eight):
        smallest(study)
    elif eight is not None or _outcome(study, EIGHT) == "ruined":
        half = _attempt(study, HALVES)
        # Where float16 is not allowed or fails as a method, weights may be stored so all the same.
        could_be = half is None and _outcome(study, HALVES) in {"not tried", "failed"}
        if could_be or (half is not None and keeps_answers(goal, half)):
            fewest_halves(study)


def _outcome(
    study: Study, proposal: Proposal
) -> Literal["not tried", "not started", "failed", "ruined"]:
    """Return what became of a proposal that has no point."""
    attempts = [e for e in study.tried if isinstance(e, Attempt) and e.proposal is proposal]
    if not attempts:
        return "not tried"
    if not attempts[0].is_started:
        return "not started"
    return "ruined" if attempts[0].is_ruined else "failed"


def _try_integers(study: Study) -> None:
    """Try ways to compute in integers, the likeliest first."""

    def allowed(proposal: Proposal) -> Point | None:
        return _try_allowed(study, proposal)

    static = Exactness("static integers", StaticQuantization, study.goal, allowed)
    dynamic = Exactness("dynamic integers", DynamicQuantization, study.goal, allowed)
    whole = StaticQuantization(fallback="off", op_types_to_quantize=EVERY_OP_TYPE)
    coarse = whole.model_copy(update={"per_channel": False})
    steps: list[Callable[[], object]] = [
        static.try_default,
        dynamic.try_default,
        lambda: static.try_at(LOOSER_DB),
        lambda: dynamic.try_at(LOOSER_DB),
        lambda: allowed(Proposal(WHOLE, [whole])),
        lambda: static.try_at(LOOSEST_DB),
        lambda: dynamic.try_at(LOOSEST_DB),
        static.narrow,
        dynamic.narrow,
        lambda: allowed(Proposal(f"{WHOLE}, one scale for each weight", [coarse])),
    ]
    for step in steps:
        with suppress(NotStartedError):
            step()


def _attempt(study: Study, proposal: Proposal) -> Point | None:
    """Try what is allowed and fits the time that is left, once."""
    if any(each.proposal is proposal for each in study.tried):
        return None
    with suppress(NotStartedError):
        return _try_allowed(study, proposal)
    return None


def _try_allowed(study: Study, proposal: Proposal) -> Point | None:
    """Try what is allowed and can be judged by the data.

    Raises:
        NotStartedError: it does not fit the time that is left.
    """
    methods = study.goal.methods
    if methods is not None and not all(step.method in methods for step in proposal.passes):
        return None
    if _is_real(study) or not any(map(_needs_real_data, proposal.passes)):
        return study.try_(proposal)
    return None


def _is_real(study: Study) -> bool:
    return study.original.samples.calibration.origin == "dataset"


def _needs_real_data(step: Pass) -> bool:
    """Return whether made-up samples say nothing of how good a pass is."""
    return isinstance(step, StaticQuantization) or (
        isinstance(step, WeightQuantization) and step.bits < EIGHT_BITS
    )
