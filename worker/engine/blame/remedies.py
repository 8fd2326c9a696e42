"""Passes that treat some nodes with more care: left out, or stored at more bits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.engine.passes.base import Pass
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.node_selection import NodeSelectingPass
from worker.engine.passes.weight_overrides import OverrideBits, WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization

MORE_BITS: dict[int, OverrideBits] = {2: 8, 4: 8, 8: 16}
"""What a weight is stored at first; the next time it stays in float."""


@dataclass(frozen=True)
class Remedy:
    """Changed passes, and the change in words."""

    passes: list[Pass]
    words: str


def remedied(
    passes: Sequence[Pass], tried: Mapping[str, int], changed: Sequence[Collection[str]]
) -> Remedy | None:
    """Return the passes that take care of some nodes; None where no pass can.

    Args:
        passes: the passes to change.
        tried: how often each of the nodes has been found guilty.
        changed: the names of the nodes that each pass changed.
    """
    result: list[Pass] = []
    words: list[str] = []
    for step, names in zip(passes, changed, strict=True):
        concerned = {name: times for name, times in tried.items() if name in names}
        careful = _careful(step, concerned) if concerned else None
        result.append(careful[0] if careful else step)
        words += [f"{step.method}: {careful[1]}"] if careful else []
    return Remedy(result, "; ".join(words)) if words else None


def _careful(step: Pass, tried: Mapping[str, int]) -> tuple[Pass, str] | None:
    """Return a pass that takes care of these nodes, and how; None where it has no such option."""
    quoted = ", ".join(f'"{name}"' for name in tried)
    if isinstance(step, NodeSelectingPass | InitializerPruning):
        excluded = [*step.nodes_to_exclude, *(n for n in tried if n not in step.nodes_to_exclude)]
        change = {"nodes_to_exclude": tuple(excluded)}
        return step.model_copy(update=change), f"nodes_to_exclude {quoted}"
    if isinstance(step, WeightQuantization):
        overrides = [_override(step, name, times) for name, times in tried.items()]
        bits = ", ".join(f'"{o.nodes[0]}" {o.bits}' for o in overrides)
        together = (*step.overrides, *overrides)
        return step.model_copy(update={"overrides": together}), f"overrides of bits: {bits}"
    return None


def _override(step: WeightQuantization, name: str, times: int) -> WeightOverride:
    return WeightOverride(nodes=(name,), bits=MORE_BITS[step.bits] if times == 1 else "float")
