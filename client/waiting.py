"""Waiting for something to end, however often the service is started again meanwhile."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from client.errors import UnreachableError

LONGEST_WAIT_SECONDS = 60
RECONNECTS = 30
RECONNECT_SECONDS = 1.0


class Ending(Protocol):
    """What is in a state, and in one of some it ends."""

    @property
    def state(self) -> str:
        """The state's name."""

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""


Thing = TypeVar("Thing", bound=Ending)


def wait_for(
    name: str, read: Callable[[Mapping[str, str]], Thing], timeout_seconds: float
) -> Thing:
    """Read, with headers that ask the service to wait, until it has ended.

    Raises:
        TimeoutError: it has not after the timeout.
        UnreachableError: the service stayed away.
    """
    deadline = time.monotonic() + timeout_seconds
    failures = 0
    while True:
        seconds = max(0, min(LONGEST_WAIT_SECONDS, int(deadline - time.monotonic())))
        try:
            found = read({"Prefer": f"wait={seconds}"})
        except UnreachableError:
            failures += 1
            if failures > RECONNECTS or time.monotonic() >= deadline:
                raise
            time.sleep(RECONNECT_SECONDS)
            continue
        failures = 0
        if found.is_terminal:
            return found
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{name} is {found.state} after {timeout_seconds} s")
