"""What a caller prefers: how long to wait (RFC 7240), and in which form (RFC 9110)."""

import re
from collections.abc import Sequence

from app.errors import NotAcceptableError

LONGEST_WAIT_SECONDS = 60
_WAIT = re.compile(r'\s*wait\s*=\s*"?(\d{1,9})"?\s*', re.IGNORECASE)
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)")


def asked_wait_seconds(prefer: str | None) -> int | None:
    """Return N of `Prefer: wait=N`, at most a minute; None without one that makes sense."""
    for preference in re.split("[,;]", prefer or ""):
        if match := _WAIT.fullmatch(preference):
            return min(int(match[1]), LONGEST_WAIT_SECONDS)
    return None


def choose_media_type(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type that the caller likes best; the first one on a tie.

    Raises:
        NotAcceptableError: the caller takes none of them.
    """
    qualities = _qualities(accept or "*/*")
    best = max(offered, key=lambda kind: _quality(kind, qualities))
    if _quality(best, qualities) == 0:
        raise NotAcceptableError(f"this is offered as {' or '.join(offered)} only")
    return best


def _qualities(accept: str) -> dict[str, float]:
    qualities = {}
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        matches = (_QUALITY.fullmatch(parameter) for parameter in parameters)
        qualities[kind] = next((float(match[1]) for match in matches if match), 1.0)
    return qualities


def _quality(kind: str, qualities: dict[str, float]) -> float:
    """Return the quality that the most specific matching range gives."""
    for name in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if name in qualities:
            return qualities[name]
    return 0.0
