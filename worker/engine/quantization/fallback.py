"""Chooses which nodes stay in float: those that are no faster in integers, and those that hurt."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import log10

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


def within(costs: Costs, allowed: float) -> set[str]:
    """Return the fastest choice of integer nodes whose predicted error is allowed."""
    chosen = integer_nodes(costs)
    if predicted_error(costs, chosen) <= allowed:
        return chosen
    scale = sum(abs(t.in_float) for t in costs.times.values()) if costs.times else len(chosen)
    low, high = scale / PRICES / allowed, scale * PRICES / allowed
    while high / low > CLOSENESS:
        middle = (low * high) ** 0.5
        if predicted_error(costs, integer_nodes(costs, middle)) <= allowed:
            high = middle
        else:
            low = middle
    return integer_nodes(costs, high)


def accurate(
    costs: Costs, allowed: float, measure: Callable[[Collection[str]], float]
) -> tuple[set[str], float]:
    """Return a fast choice whose measured error is allowed, and that error.

    What is predicted is not what is measured, so the error to predict is searched for; where no
    choice is allowed, all stays in float.
    """
    best: tuple[set[str], float] = (set(), 0.0)
    measured: dict[frozenset[str], float] = {frozenset(): 0.0}
    budget, low, high = allowed, 0.0, 0.0
    for _ in range(ROUNDS):
        chosen = frozenset(within(costs, budget))
        if chosen not in measured:
            measured[chosen] = measure(chosen)
        error = measured[chosen]
        if error > allowed:
            high = budget
        else:
            low = budget
            if saving(costs, chosen) > saving(costs, best[0]):
                best = (set(chosen), error)
        step = allowed / max(error, allowed / LARGEST_STEP)
        budget = (low * high) ** 0.5 if low and high else budget * max(step, 1 / LARGEST_STEP)
    return best


def saving(costs: Costs, chosen: Collection[str]) -> float:
    """Return the seconds that integers save in these nodes, or their number where untimed."""
    if costs.times is None:
        return float(len(chosen))
    return sum(costs.times[name].in_float - costs.times[name].in_integers for name in chosen)


def decibels(error: float) -> float:
    """Return a relative error as 10 log10(1 / error)."""
    return -10 * log10(max(error, 1e-20))
