"""Chooses which nodes stay in float: those that are no faster in integers, and those that hurt."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import log10
from typing import NamedTuple

from worker.engine.quantization.integer_edges import NodeTimes, RoundedEdge
from worker.engine.quantization.minimum_cut import ALWAYS, Labelling

HIGHEST_PRICE = 10.0**4
"""Price at which an error is avoided: so many times all seconds over all errors."""
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


def integer_nodes(costs: Costs) -> set[str]:
    """Return the nodes whose computation in integers takes the least seconds of all."""
    return Choices(costs).within(float("inf"))


def predicted_error(costs: Costs, chosen: Collection[str]) -> float:
    """Return the sum of the error shares of what is rounded when these nodes are integer."""
    weights = {costs.weights[node] for node in chosen}
    touched = {
        edge.name
        for edge in costs.edges.values()
        if edge.producer in chosen or not set(edge.readers).isdisjoint(chosen)
    }
    return sum(costs.errors.get(name, 0.0) for name in [*sorted(weights), *sorted(touched)])


class Choice(NamedTuple):
    """Nodes to compute in integers, the seconds that all takes with them, and their error."""

    nodes: frozenset[str]
    seconds: float
    error: float


class Choices:
    """The choices of integer nodes that are the fastest at some price of an error.

    They are the corners of the lower hull of the seconds over the error. Corners are looked for
    where they are wanted, so that searches with different budgets meet the same.
    """

    def __init__(self, costs: Costs) -> None:
        self.costs = costs
        self._free = _labelling(costs, 0.0)
        self._known: dict[float, Choice] = {}
        times = (costs.times or {}).values()
        seconds = sum(abs(each.in_float) for each in times) or float(len(costs.weights))
        error = sum(costs.errors.values()) or 1.0
        self._corners = [self._at(0.0), self._at(HIGHEST_PRICE * seconds / error)]

    def within(self, allowed: float) -> set[str]:
        """Return the fastest of them whose predicted error is allowed."""
        while True:
            place = bisect_left(self._corners, -allowed, key=lambda corner: -corner.error)
            if place in {0, len(self._corners)}:
                return set(self._corners[min(place, len(self._corners) - 1)].nodes)
            between = self._between(*self._corners[place - 1 : place + 1])
            if between is None:
                return set(self._corners[place].nodes)
            self._corners.insert(place, between)

    def _between(self, fast: Choice, exact: Choice) -> Choice | None:
        """Return a corner between two; None where the line from one to the other is the hull."""
        found = self._at((exact.seconds - fast.seconds) / (fast.error - exact.error))
        return found if fast.error > found.error > exact.error else None

    def _at(self, price: float) -> Choice:
        """Return the choice of least seconds + price * error."""
        if price not in self._known:
            labels = _labelling(self.costs, price).ones()
            nodes = frozenset(str(label) for label in labels & set(self.costs.weights))
            error = predicted_error(self.costs, nodes)
            self._known[price] = Choice(nodes, self._free.cost(labels), error)
        return self._known[price]


def _labelling(costs: Costs, price: float) -> Labelling:
    """Return the costs of labelling nodes as integers at a price of an error.

    Beside its own seconds a node costs those of rounding its input where a float node wrote it, and
    of restoring its output where a float node reads it. An error is paid once for each edge.
    """
    labelling = Labelling()
    readers = defaultdict(list)
    for node, weight in costs.weights.items():
        readers[weight].append(node)
        saving = UNTIMED_SAVING
        if costs.times is not None:
            times = costs.times[node]
            saving = times.in_float - times.in_integers if times.is_fused else -ALWAYS
        labelling.cost_of_one(node, -saving)
    for weight, nodes in readers.items():
        labelling.cost_of_any(nodes, ("error", weight), price * costs.errors.get(weight, 0.0))
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
    return labelling


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
