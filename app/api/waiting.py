"""Looking again and again: until something is over, or to tell each change as it comes."""

import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Request

State = TypeVar("State")

_SHORTEST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0
_POLL_GROWTH = 1.5


async def looks(
    request: Request, look: Callable[[], State], is_over: Callable[[State], bool], seconds: float
) -> AsyncIterator[State]:
    """Yield what a look, in a thread, finds: once, then until it is over, time or caller gone."""
    deadline = time.monotonic() + seconds
    pause = _SHORTEST_POLL_SECONDS
    while True:
        state = await run_sync(look)
        yield state
        left = deadline - time.monotonic()
        if is_over(state) or left <= 0 or await request.is_disconnected():
            return
        await anyio.sleep(min(pause, left))
        pause = min(pause * _POLL_GROWTH, _LONGEST_POLL_SECONDS)


async def wait_for_end(
    request: Request, look: Callable[[], State], is_over: Callable[[State], bool], seconds: float
) -> State:
    """Return what was found last, once it is over, the time is up or the caller has gone."""
    return [state async for state in looks(request, look, is_over, seconds)][-1]
