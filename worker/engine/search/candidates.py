"""What to try for a goal, in which order; each step looks at what came of those before."""

from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

from worker.engine.passes.base import Pass
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.static_quantization import QuantizedOpType, StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.budget import NotStartedError
from worker.engine.search.good_enough import UNJUDGED
from worker.engine.search.point import Proposal
from worker.engine.search.smallest import smallest
from worker.engine.search.study import Study
from worker.engine.spec import Goal

EVERY_OP_TYPE = get_args(QuantizedOpType)
LOOSER_DB = 12.0
LOOSEST_DB = 4.0
"""How close answers are asked to be where integers compute. Scores often allow far less than the
passes ask for by default; below 3 dB a result counts as ruined."""

EIGHT_BITS = 8


def search_candidates(study: Study) -> None:
    """Try what may reach the goal, until nothing is left.

    Raises:
        BudgetSpentError: the time was up before.
    """
    goal = study.goal
    if not _is_real(study):
        study.original.samples.warnings.append(UNJUDGED)
    _attempt(study, Proposal("weights at 8 bits", [WeightQuantization(runtime_form="folded")]))
    if goal.minimize != "latency":
        if _is_real(study) and (goal.methods is None or "weight_quantization" in goal.methods):
            with suppress(NotStartedError):
                smallest(study)
        if goal.minimize == "size" and study.best[0].meets_goal and not study.best[0].is_original:
            return
    for proposal in integer_proposals(goal):
        _attempt(study, proposal)
    if not any(not point.is_original for point in study.points):
        _attempt(study, Proposal("weights as float16", [Float16()]))


def _attempt(study: Study, proposal: Proposal) -> None:
    """Try what is allowed, can be judged by the data, and fits the time that is left."""
    methods = study.goal.methods
    if methods is not None and not all(step.method in methods for step in proposal.passes):
        return
    if _is_real(study) or not any(map(_needs_real_data, proposal.passes)):
        with suppress(NotStartedError):
            study.try_(proposal)


def _is_real(study: Study) -> bool:
    return study.original.samples.calibration.origin == "dataset"


def _needs_real_data(step: Pass) -> bool:
    """Return whether made-up samples say nothing of how good a pass is."""
    return isinstance(step, StaticQuantization) or (
        isinstance(step, WeightQuantization) and step.bits < EIGHT_BITS
    )


def integer_proposals(goal: Goal) -> Iterator[Proposal]:
    """Yield ways to compute in integers, the likeliest first."""
    loose = {"fallback_sqnr_db": LOOSER_DB}
    loosest = {"fallback_sqnr_db": LOOSEST_DB}
    yield Proposal("static integers", [StaticQuantization()])
    yield Proposal("dynamic integers", [DynamicQuantization()])
    yield Proposal("static integers, less exact", [StaticQuantization.model_validate(loose)])
    yield Proposal("dynamic integers, less exact", [DynamicQuantization.model_validate(loose)])
    yield Proposal(
        "static integers in all op types",
        [StaticQuantization(fallback="off", op_types_to_quantize=EVERY_OP_TYPE)],
    )
    yield Proposal("static integers, least exact", [StaticQuantization.model_validate(loosest)])
    yield Proposal("dynamic integers, least exact", [DynamicQuantization.model_validate(loosest)])
    yield Proposal(
        "static integers in all op types, one scale for each weight",
        [StaticQuantization(fallback="off", op_types_to_quantize=EVERY_OP_TYPE, per_channel=False)],
    )
    if goal.minimize != "size":
        yield Proposal("8-bit weights packed at run time", [WeightQuantization()])
        yield Proposal("8-bit weights packed in large blocks", [WeightQuantization(block_size=128)])
        yield Proposal(
            "4-bit weights packed in large blocks", [WeightQuantization(bits=4, block_size=128)]
        )
