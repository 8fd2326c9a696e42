"""How many bits each weight gets: the cheapest way to spend an error, weight by weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Literal, cast

from worker.engine.passes.weight_overrides import OverrideBits, WeightOverride, override_of
from worker.engine.passes.weight_quantization import WeightQuantization

Bits = Literal[16, 8, 4, 2]
LEVELS: tuple[Bits, ...] = (16, 8, 4, 2)
"""From the most exact to the smallest."""
FLOOR = 1e-20


@dataclass(frozen=True)
class WeightCosts:
    """What a weight takes in the file, and does to the answers by itself, at some bits.

    An error is sum((a - b)²) / sum(a²) of the output that it moves most.
    """

    name: str
    stored_bytes: Mapping[Bits, int]
    errors: Mapping[Bits, float]


@dataclass(frozen=True)
class Step:
    """A weight that goes down to fewer bits, and what all weights make together from then on."""

    name: str
    bits: Bits
    error: float


def steps_down(weights: Sequence[WeightCosts]) -> list[Step]:
    """Return the way from all weights at their most bits to their fewest, cheapest errors first.

    Errors of different weights are taken to add up, as those of independent noise do. Each weight
    goes along the lower convex hull of its errors over its bytes, so that the first steps are the
    best ones for any error that may be spent (the greedy solution of the continuous knapsack).
    """
    moves = [move for weight in weights for move in _moves(weight)]
    total = sum(weight.errors[max(weight.errors)] for weight in weights)
    steps = []
    for _, name, bits, added in sorted(moves):
        total += added
        steps.append(Step(name, bits, total))
    return steps


def _moves(weight: WeightCosts) -> list[tuple[float, str, Bits, float]]:
    """Return the moves of one weight: error per byte saved, name, bits and error added."""
    levels = [bits for bits in LEVELS if bits in weight.errors]
    moves, here = [], levels[0]
    while here != levels[-1]:
        ahead = [
            (_price(weight, here, bits), bits)
            for bits in levels
            if bits < here and weight.stored_bytes[bits] < weight.stored_bytes[here]
        ]
        if not ahead:
            break
        price, bits = min(ahead)
        moves.append((price, weight.name, bits, _added(weight, here, bits)))
        here = bits
    return moves


def _price(weight: WeightCosts, here: Bits, bits: Bits) -> float:
    return _added(weight, here, bits) / (weight.stored_bytes[here] - weight.stored_bytes[bits])


def _added(weight: WeightCosts, here: Bits, bits: Bits) -> float:
    return max(0.0, weight.errors[bits] - weight.errors[here])


def pass_after(steps: Sequence[Step], count: int, block_size: int) -> WeightQuantization:
    """Return the pass that stores weights as they are after so many steps down, the rest at 8.

    A weight that has yet to step down to 8 bits is at 16.
    """
    bits_of = {step.name: step.bits for step in steps[:count]}
    bits_of |= {step.name: 16 for step in steps[count:] if step.bits == 8}
    overrides = [WeightOverride(weights=("*",), bits=8)]
    for bits in (16, 4, 2):
        names = [name for name, given in bits_of.items() if given == bits]
        if names:
            overrides.append(override_of(names, cast("OverrideBits", bits)))
    fewest = min([8, *bits_of.values()])
    return WeightQuantization(
        bits=cast("Literal[8, 4, 2]", fewest),
        block_size=block_size,
        overrides=tuple(overrides),
        runtime_form="folded",
    )


def decibels(step: Step) -> float:
    """Return the fidelity that is predicted after a step."""
    return -10 * log10(max(step.error, FLOOR))
