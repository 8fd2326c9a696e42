"""Finds which of many roundings hurt, by a few runs with some of them switched on."""

from collections.abc import Callable, Collection, Sequence

MAX_MEASUREMENTS = 36
"""Sets of roundings that one search tries."""
NOT_WORTH_SPLITTING = 1 / 32
"""Share of the error that is allowed below which a set is not looked into."""


def error_shares(
    names: Sequence[str], error: Callable[[Collection[str]], float], allowed: float
) -> dict[str, float]:
    """Return how much of the error comes from each rounding.

    Errors of independent roundings add up, so sets are halved from the worst on, until what is
    left cannot matter: a set that was not halved is shared out evenly.
    """
    sets = [(error(names), names)]
    measurements = 1
    while measurements < MAX_MEASUREMENTS:
        sets.sort(key=lambda item: (len(item[1]) > 1, item[0]))
        worst, members = sets[-1]
        if len(members) == 1 or worst < allowed * NOT_WORTH_SPLITTING:
            break
        sets.pop()
        middle = len(members) // 2
        halves = (members[:middle], members[middle:])
        sets += [(error(part), part) for part in halves]
        measurements += len(halves)
    return {name: found / len(members) for found, members in sets for name in members}
