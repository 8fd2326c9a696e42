"""Labels things 0 or 1 at the least total cost, by a minimum cut."""

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from itertools import pairwise

ALWAYS = float("inf")
_ONE: Hashable = ("label", 1)
_ZERO: Hashable = ("label", 0)
SMALLEST_FLOW = 1e-12


class Labelling:
    """Costs of giving things the label 1 or 0; things are any hashable keys."""

    def __init__(self) -> None:
        self._room: dict[Hashable, dict[Hashable, float]] = defaultdict(dict)

    def cost_of_one(self, thing: Hashable, cost: float) -> None:
        """Charge `cost`, of either sign, where a thing is 1."""
        if cost >= 0:
            self._add(thing, _ZERO, cost)
        else:
            self._add(_ONE, thing, -cost)

    def cost_of_difference(self, one: Hashable, zero: Hashable, cost: float) -> None:
        """Charge `cost` where the first is 1 and the second 0; `ALWAYS` forbids it."""
        self._add(one, zero, cost)

    def cost_of_any(self, things: Iterable[Hashable], key: Hashable, cost: float) -> None:
        """Charge `cost` once where any of the things is 1; `key` is a name for the charge."""
        self._add(key, _ZERO, cost)
        for thing in things:
            self._add(thing, key, ALWAYS)

    def ones(self) -> set[Hashable]:
        """Return what is 1 in the cheapest labelling.

        Ford and Fulkerson's cut between the labels, with shortest augmenting paths (Edmonds and
        Karp, 1972). What is not worth a charge is 0.
        """
        room = {thing: dict(edges) for thing, edges in self._room.items()}
        while True:
            reached = _paths(room)
            if _ZERO not in reached:
                return set(reached) - {_ONE}
            path = [_ZERO]
            while path[-1] != _ONE:
                path.append(reached[path[-1]])
            steps = [(start, end) for end, start in pairwise(path)]
            flow = min(room[start][end] for start, end in steps)
            for start, end in steps:
                room[start][end] -= flow
                room[end][start] += flow

    def _add(self, start: Hashable, end: Hashable, cost: float) -> None:
        self._room[start][end] = self._room[start].get(end, 0.0) + cost
        self._room[end].setdefault(start, 0.0)


def _paths(room: dict[Hashable, dict[Hashable, float]]) -> dict[Hashable, Hashable]:
    """Return each thing that flow can still reach, and from where it is reached first."""
    reached: dict[Hashable, Hashable] = {_ONE: _ONE}
    waiting = deque([_ONE])
    while waiting:
        start = waiting.popleft()
        for end, left in room.get(start, {}).items():
            if left > SMALLEST_FLOW and end not in reached:
                reached[end] = start
                waiting.append(end)
    return reached
