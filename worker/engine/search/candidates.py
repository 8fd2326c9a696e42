"""What to try for a goal, in which order; each step may look at what came of those before."""

from collections.abc import Iterator

from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.point import Proposal
from worker.engine.search.study import Study
from worker.engine.spec import Goal

FIDELITIES_DB = (15.0, 8.0, 3.0)
"""How close answers must be where integers compute; scores often allow less than the default."""


def proposals(study: Study) -> Iterator[Proposal]:
    """Yield what to try, the safest first."""
    goal = study.goal
    yield from allowed(goal, first_proposals(goal))


def allowed(goal: Goal, found: Iterator[Proposal]) -> Iterator[Proposal]:
    """Leave out proposals that use methods the goal does not name."""
    for proposal in found:
        if goal.methods is None or all(step.method in goal.methods for step in proposal.passes):
            yield proposal


def first_proposals(goal: Goal) -> Iterator[Proposal]:
    """Yield the methods as they are by default."""
    if goal.minimize != "latency":
        yield Proposal("weights at 8 bits", [WeightQuantization(runtime_form="folded")])
        yield Proposal("weights at 4 bits", [WeightQuantization(bits=4, runtime_form="folded")])
    yield Proposal("static integers", [StaticQuantization()])
    yield Proposal("dynamic integers", [DynamicQuantization()])
    yield Proposal("weights as float16", [Float16()])
