"""Spends more bits on the weights that gain most: as many as a budget allows, or as are needed."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid
from worker.engine.weights.rounding import stored_bits


@dataclass(frozen=True)
class Upgrade:
    """The same weight with more bits, and the relative error that is left."""

    grid: Grid
    error: float


@dataclass(frozen=True)
class Choice:
    """A weight on its grid, and what it may be upgraded to; None where its bits are given."""

    weight: Weight
    grid: Grid
    is_packed: bool
    """Whether the runtime multiplies with the integers themselves."""
    error: float = 0.0
    upgrade: Upgrade | None = None

    @property
    def extra_bits(self) -> int:
        """The stored bits that the upgrade costs, 0 without one."""
        grid = self.grid if self.upgrade is None else self.upgrade.grid
        return stored_bits(grid) - stored_bits(self.grid)

    @property
    def gain_per_bit(self) -> float:
        """Error removed for each bit that the upgrade costs."""
        return 0.0 if self.upgrade is None else (self.error - self.upgrade.error) / self.extra_bits


def with_upgrades(choices: Sequence[Choice], names: Collection[str]) -> list[Choice]:
    """Return the choices with the weights of these names upgraded."""
    return [
        replace(choice, grid=choice.upgrade.grid, error=choice.upgrade.error, upgrade=None)
        if choice.upgrade is not None and choice.weight.name in names
        else choice
        for choice in choices
    ]


def spend_average(choices: Sequence[Choice], average_bits: float) -> list[str]:
    """Return the weights to upgrade while all keep to an average of bits for each value."""
    budget = average_bits * sum(choice.weight.size for choice in choices)
    spent = sum(stored_bits(choice.grid) for choice in choices)
    upgraded = []
    for choice in _ranked(choices):
        if spent + choice.extra_bits <= budget:
            spent += choice.extra_bits
            upgraded.append(choice.weight.name)
    return upgraded


def spend_for_answers(
    choices: Sequence[Choice], minimum_db: float, fidelity_db: Callable[[Collection[str]], float]
) -> list[str]:
    """Return the fewest weights to upgrade for answers this good; all of them where none suffice.

    `fidelity_db` measures the answers with the weights of some names upgraded. More upgrades are
    taken to make better answers, so that few have to be measured.
    """
    names = [choice.weight.name for choice in _ranked(choices)]
    if not names or fidelity_db([]) >= minimum_db:
        return []
    too_few, enough = 0, len(names)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fidelity_db(names[:middle]) >= minimum_db:
            enough = middle
        else:
            too_few = middle
    return names[:enough]


def _ranked(choices: Sequence[Choice]) -> list[Choice]:
    """Return what can be upgraded, most gain first.

    Weights of different subgraphs that share a name are left out: nobody could say which of them
    is meant.
    """
    names = Counter(choice.weight.name for choice in choices)
    candidates = [c for c in choices if c.extra_bits > 0 and names[c.weight.name] == 1]
    return sorted(candidates, key=lambda choice: choice.gain_per_bit, reverse=True)
