"""Numbers as people write them."""

from worker.engine.report.numbers import short

ABSENT = "-"


def bytes_text(count: float) -> str:
    """Return bytes in the decimal unit that fits."""
    for unit in ("B", "kB", "MB"):
        if abs(count) < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def seconds_text(seconds: float | None) -> str:
    """Return seconds in the unit that fits."""
    if seconds is None:
        return ABSENT
    if abs(seconds) >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms" if abs(seconds) >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number in short."""
    return ABSENT if value is None else short(value, digits)


def percent(value: float | None) -> str:
    """Return a fraction as a percentage."""
    return ABSENT if value is None else f"{value:.2%}"


def decibels(value: float | None, absent: str = "equal") -> str:
    """Return an SQNR, where none means equal answers unless it is said to mean something else."""
    return absent if value is None else f"{value:.1f} dB"
