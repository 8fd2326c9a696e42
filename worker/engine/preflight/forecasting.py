"""The forecast of each method, or why it would refuse the model."""

import re
from collections.abc import Sequence

from worker.engine.errors import EngineError, PassError, ResourceError
from worker.engine.passes import PASS_TYPES
from worker.engine.passes.base import Pass, SkippedNode
from worker.engine.preflight.contents import Bytes, Forecast, ModelFacts, Refusal, SkippedGroup
from worker.engine.preflight.estimates import duration, memory
from worker.engine.preflight.outcomes import Forecaster, Outcome
from worker.engine.quantization.working_copy import OP_TYPES_WITH_WEIGHTS
from worker.engine.runtime import bounded

FORESEEN: tuple[Pass, ...] = tuple(step for each in PASS_TYPES for step in each.foreseen())
MOST_NODES = 20
MOST_GROUPS = 20
EXAMPLES = 3
CERTAIN = 0.05
"""Of the likeliest size, that others may differ by."""
NAMED = re.compile(r"(weight|input|bias|inside) \S+")


def forecast(step: Pass, forecaster: Forecaster, facts: ModelFacts) -> Forecast:
    """Return what a method does to a model, or why it does nothing."""
    try:
        with bounded(f"forecasting {step.method}", PassError):
            outcome = forecaster.outcome(step)
    except ResourceError:
        raise
    except EngineError as error:
        return _forecast(step, facts, Outcome(), error)
    return _forecast(step, facts, outcome, None)


def _forecast(
    step: Pass, facts: ModelFacts, outcome: Outcome, error: EngineError | None
) -> Forecast:
    groups = group_skipped(outcome.skipped)
    sizes = outcome.sizes
    before = outcome.original_bytes or facts.size_bytes
    return Forecast(
        passes=[step],
        needs_data=step.gains_from_samples(),
        refusal=None if error is None else Refusal(code=error.code, message=str(error)),
        touched_count=len(outcome.touched),
        touched=list(outcome.touched[:MOST_NODES]),
        skipped_count=len(outcome.skipped),
        skipped=groups[:MOST_GROUPS],
        measure=step.shrinks,
        size_bytes=sizes[0] if sizes else None,
        size_is_certain=_is_certain(sizes) if sizes else None,
        size_range=Bytes(low=min(sizes), high=max(sizes)) if sizes else None,
        size_ratio=round(sizes[0] / max(1, before), 4) if sizes else None,
        duration_seconds=None if error else duration(step, facts),
        memory_bytes=None if error else memory(facts),
    )


def _is_certain(sizes: Sequence[int]) -> bool:
    """Return whether all ways lead to about the size of the likeliest, which comes first."""
    return all(abs(size - sizes[0]) <= CERTAIN * sizes[0] for size in sizes)


def group_skipped(skipped: Sequence[SkippedNode]) -> list[SkippedGroup]:
    """Return the nodes by op type and reason; those that have weights first, then the most."""
    groups: dict[tuple[str, str], list[SkippedNode]] = {}
    for skip in skipped:
        groups.setdefault((skip.op_type, NAMED.sub(r"\1", skip.reason)), []).append(skip)
    found = [
        SkippedGroup(
            op_type=op_type,
            reason=members[0].reason,
            count=len(members),
            nodes=[member.node for member in members[:EXAMPLES]],
        )
        for (op_type, _), members in groups.items()
    ]
    return sorted(found, key=lambda it: (it.op_type not in OP_TYPES_WITH_WEIGHTS, -it.count))
