"""Labels things 0 or 1 at the least total cost, by a minimum cut."""

from collections import deque
from collections.abc import Collection, Hashable, Iterable

ALWAYS = float("inf")
_ONE: Hashable = ("label", 1)
_ZERO: Hashable = ("label", 0)
SMALLEST_FLOW = 1e-12


class Labelling:
    """Costs of giving things the label 1 or 0; things are any hashable keys."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {_ONE: 0, _ZERO: 1}
        self._costs: dict[tuple[int, int], float] = {}

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
        """Return what is 1 in the cheapest labelling; what is not worth a charge is 0."""
        reached = _Network(len(self._numbers), self._costs).reached_at_most()
        return {thing for thing, number in self._numbers.items() if number in reached} - {_ONE}

    def cost(self, ones: Collection[Hashable]) -> float:
        """Return the cost of a labelling, but for an amount that is the same for all."""
        numbers = {self._numbers[thing] for thing in ones} | {self._numbers[_ONE]}
        return sum(
            cost
            for (start, end), cost in self._costs.items()
            if start in numbers and end not in numbers
        )

    def _add(self, start: Hashable, end: Hashable, cost: float) -> None:
        arc = (self._number(start), self._number(end))
        self._costs[arc] = self._costs.get(arc, 0.0) + cost

    def _number(self, thing: Hashable) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))


class _Network:
    """Arcs with room for flow from point 0 to point 1; arc `i ^ 1` is arc `i` backwards."""

    def __init__(self, points: int, room: dict[tuple[int, int], float]) -> None:
        self.arcs: list[list[int]] = [[] for _ in range(points)]
        self.ends: list[int] = []
        self.room: list[float] = []
        for (start, end), most in room.items():
            for point, other, left in ((start, end, most), (end, start, 0.0)):
                self.arcs[point].append(len(self.ends))
                self.ends.append(other)
                self.room.append(left)

    def reached_at_most(self) -> set[int]:
        """Return the points that more flow could reach once as much flows as can.

        In rounds of shortest paths that share one search (Dinic, 1970).
        """
        while True:
            distances = self._distances()
            if distances[1] < 0:
                return {point for point, distance in enumerate(distances) if distance >= 0}
            tried = [0] * len(self.arcs)
            while path := self._path(distances, tried):
                flow = min(self.room[arc] for arc in path)
                for arc in path:
                    self.room[arc] -= flow
                    self.room[arc ^ 1] += flow

    def _distances(self) -> list[int]:
        """Return how many arcs with room it takes from point 0 to each; -1 where none lead."""
        distances = [0] + [-1] * (len(self.arcs) - 1)
        waiting = deque([0])
        while waiting:
            start = waiting.popleft()
            for arc in self.arcs[start]:
                end = self.ends[arc]
                if distances[end] < 0 and self.room[arc] > SMALLEST_FLOW:
                    distances[end] = distances[start] + 1
                    waiting.append(end)
        return distances

    def _path(self, distances: list[int], tried: list[int]) -> list[int]:
        """Return the arcs of one more shortest path, or none; `tried` counts those no use now."""
        path: list[int] = []
        point = 0
        while point != 1:
            arc = self._next_arc(point, distances, tried)
            if arc is not None:
                path.append(arc)
                point = self.ends[arc]
            elif path:
                point = self.ends[path.pop() ^ 1]
                tried[point] += 1
            else:
                break
        return path

    def _next_arc(self, point: int, distances: list[int], tried: list[int]) -> int | None:
        """Return the first arc from a point that leads on; None where none does."""
        arcs = self.arcs[point]
        for index in range(tried[point], len(arcs)):
            arc = arcs[index]
            is_on = distances[self.ends[arc]] == distances[point] + 1
            if is_on and self.room[arc] > SMALLEST_FLOW:
                tried[point] = index
                return arc
        tried[point] = len(arcs)
        return None
