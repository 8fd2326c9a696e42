"""Spends a budget of bits on the weights that gain most from more of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid
from worker.engine.weights.rounding import stored_bits


@dataclass(frozen=True)
class Upgrade:
    """The same weight with more bits, and the relative error that is left."""

    grid: Grid
    error: float


@dataclass
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
        return (
            0 if self.upgrade is None else stored_bits(self.upgrade.grid) - stored_bits(self.grid)
        )

    @property
    def gain_per_bit(self) -> float:
        """Error removed for each bit that the upgrade costs."""
        return 0.0 if self.upgrade is None else (self.error - self.upgrade.error) / self.extra_bits

    def take_upgrade(self) -> None:
        """Use the upgrade."""
        if self.upgrade is not None:
            self.grid, self.error, self.upgrade = self.upgrade.grid, self.upgrade.error, None


def spend_average(choices: Sequence[Choice], average_bits: float) -> list[str]:
    """Upgrade the weights that gain most while all keep to an average of bits for each value.

    Returns the names of the upgraded. Weights of different subgraphs that share a name are left as
    they are: nobody could say which of them is meant.
    """
    budget = average_bits * sum(choice.weight.size for choice in choices)
    spent = sum(stored_bits(choice.grid) for choice in choices)
    names = Counter(choice.weight.name for choice in choices)
    candidates = [c for c in choices if c.extra_bits > 0 and names[c.weight.name] == 1]
    upgraded = []
    for choice in sorted(candidates, key=lambda c: c.gain_per_bit, reverse=True):
        if spent + choice.extra_bits <= budget:
            spent += choice.extra_bits
            choice.take_upgrade()
            upgraded.append(choice.weight.name)
    return upgraded
