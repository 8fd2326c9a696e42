"""Chooses which nodes stay in float: those that are no faster in integers, and those that hurt."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import ceil, floor, log, log10

from worker.engine.quantization.integer_edges import NodeTimes, RoundedEdge
from worker.engine.quantization.minimum_cut import ALWAYS, Labelling

CLOSENESS = 1.05
"""How near the search for the price of an error comes to the best one."""
PRICES = 10.0**4
ROUNDS = 7
LARGEST_STEP = 8.0
UNTIMED_SAVING = 1.0


@dataclass(frozen=True)
class Costs:
    """What is known of each node and edge.

    Args:
        edges: rounded activations, by name.
        weights: the weight of each node.
        times: of each node; None where speed does not matter.
        moving_seconds: what rounding and restoring each edge's values costs.
        errors: the share of the error of each weight and edge.
    """

    edges: Mapping[str, RoundedEdge]
    weights: Mapping[str, str]
    times: Mapping[str, NodeTimes] | None
    moving_seconds: Mapping[str, float]
    errors: Mapping[str, float] = field(default_factory=dict)


def integer_nodes(costs: Costs, price: float = 0.0) -> set[str]:
    """Return the nodes to compute in integers: least seconds + price * error.

    Beside its own seconds a node costs those of rounding its input where a float node wrote it, and
    of restoring its output where a float node reads it. An error is paid once for each edge.
    """
    labelling = Labelling()
    for node, weight in costs.weights.items():
        saving = UNTIMED_SAVING
        if costs.times is not None:
            times = costs.times[node]
            saving = times.in_float - times.in_integers if times.is_fused else -ALWAYS
        labelling.cost_of_one(node, price * costs.errors.get(weight, 0.0) - saving)
    for edge in costs.edges.values():
        moving = costs.moving_seconds[edge.name]
        ends = [*edge.readers, *([edge.producer] if edge.producer else [])]
        error = price * costs.errors.get(edge.name, 0.0)
        labelling.cost_of_any(ends, ("error", edge.name), error)
        labelling.cost_of_any(edge.readers, ("rounded", edge.name), 0.0)
        if edge.producer is None:
            labelling.cost_of_one(("rounded", edge.name), moving)
            continue
        labelling.cost_of_difference(("rounded", edge.name), edge.producer, moving)
        if edge.is_read_in_float:
            labelling.cost_of_one(edge.producer, moving)
        for reader in edge.readers:
            labelling.cost_of_difference(edge.producer, reader, moving / len(edge.readers))
    return {str(name) for name in labelling.ones() & set(costs.weights)}


def predicted_error(costs: Costs, chosen: Collection[str]) -> float:
    """Return the sum of the error shares of what is rounded when these nodes are integer."""
    weights = {costs.weights[node] for node in chosen}
    touched = {
        edge.name
        for edge in costs.edges.values()
        if edge.producer in chosen or not set(edge.readers).isdisjoint(chosen)
    }
    return sum(costs.errors.get(name, 0.0) for name in [*sorted(weights), *sorted(touched)])


class Choices:
    """The fastest choice of integer nodes at each price of an error.

    Prices are the powers of `CLOSENESS`, so that searches with different budgets meet the same.
    """

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        times = (costs.times or {}).values()
        self._seconds = sum(abs(t.in_float) for t in times) or float(len(costs.weights))
        self._known: dict[int, tuple[set[str], float]] = {}

    def within(self, allowed: float) -> set[str]:
        """Return the fastest choice whose predicted error is allowed."""
        chosen = integer_nodes(self.costs)
        if predicted_error(self.costs, chosen) <= allowed:
            return chosen
        middle, reach = log(self._seconds / allowed, CLOSENESS), log(PRICES, CLOSENESS)
        low, high = floor(middle - reach), ceil(middle + reach)
        while high - low > 1:
            price = (low + high) // 2
            if self._at(price)[1] <= allowed:
                high = price
            else:
                low = price
        return self._at(high)[0]

    def _at(self, power: int) -> tuple[set[str], float]:
        """Return the choice at a price, and its predicted error."""
        if power not in self._known:
            chosen = integer_nodes(self.costs, CLOSENESS**power)
            self._known[power] = (chosen, predicted_error(self.costs, chosen))
        return self._known[power]


def accurate(
    costs: Costs,
    allowed: float,
    measure: Callable[[Collection[str]], float],
    least: float = 0.0,
) -> tuple[set[str], float]:
    """Return a fast choice whose measured error is allowed, and that error.

    What is predicted is not what is measured, so the error to predict is searched for; where no
    choice is allowed, all stays in float, which has the `least` error.
    """
    best: tuple[set[str], float] = (set(), least)
    measured: dict[frozenset[str], float] = {frozenset(): least}
    choices = Choices(costs)
    budget, low, high = allowed - least, 0.0, 0.0
    for _ in range(ROUNDS):
        chosen = frozenset(choices.within(budget))
        if chosen not in measured:
            measured[chosen] = measure(chosen)
        error = measured[chosen]
        if error > allowed:
            # No budget that allows the same choice is worth another round.
            high = min(budget, predicted_error(costs, chosen))
        else:
            low = budget
            if saving(costs, chosen) > saving(costs, best[0]):
                best = (set(chosen), error)
        step = max(allowed / max(error, allowed / LARGEST_STEP), 1 / LARGEST_STEP)
        budget = (low * high) ** 0.5 if low and high else (high or budget) * step
    return best


def saving(costs: Costs, chosen: Collection[str]) -> float:
    """Return the seconds that integers save in these nodes, or their number where untimed."""
    if costs.times is None:
        return float(len(chosen))
    return sum(costs.times[name].in_float - costs.times[name].in_integers for name in chosen)


def decibels(error: float) -> float:
    """Return a relative error as 10 log10(1 / error)."""
    return -10 * log10(max(error, 1e-20))
