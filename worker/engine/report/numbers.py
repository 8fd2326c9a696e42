"""Numbers of a report in short, for people."""

FEWEST_GROUPED = 1e4
MOST_GROUPED = 1e12


def short(value: float, digits: int = 4) -> str:
    """Return a number to so many digits, and a large one, as of bytes, to its last whole one.

    A limit and what lies beyond it by less than a digit must not read alike.
    """
    if FEWEST_GROUPED <= abs(value) < MOST_GROUPED:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def counted(number: int, noun: str) -> str:
    """Return how many there are, in words such as `1 pair` and `2 pairs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
