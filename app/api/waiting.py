"""Answering once something is over, for callers who say how long they wait."""

import time
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Request

State = TypeVar("State")

_SHORTEST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0
_POLL_GROWTH = 1.5


async def wait_for_end(
    request: Request, look: Callable[[], State], is_over: Callable[[State], bool], seconds: float
) -> State:
    """Look, in a thread, until it is over, the time is up or the caller has gone."""
    deadline = time.monotonic() + seconds
    pause = _SHORTEST_POLL_SECONDS
    while True:
        state = await run_sync(look)
        left = deadline - time.monotonic()
        if is_over(state) or left <= 0 or await request.is_disconnected():
            return state
        await anyio.sleep(min(pause, left))
        pause = min(pause * _POLL_GROWTH, _LONGEST_POLL_SECONDS)
