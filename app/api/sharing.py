"""Calls that want the same thing at the same time share the one that makes it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Generic, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from worker.engine.preflight.contents import Preflight

Result = TypeVar("Result")


class SharedCalls(Generic[Result]):
    """Runs at most one call at a time for each key, in a thread of a bounded number.

    Who comes meanwhile waits for its result, without a thread, and gets its error too. A call
    goes on though everybody who waits for it goes away.
    """

    def __init__(self, limiter: CapacityLimiter) -> None:
        self._limiter = limiter
        self._tasks: dict[str, asyncio.Task[Result]] = {}

    async def run(self, key: str, function: Callable[[], Result]) -> Result:
        """Return the function's result, or that of the call for this key that runs already."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(self._run(key, function))
            self._tasks[key] = task
        return await asyncio.shield(task)

    async def _run(self, key: str, function: Callable[[], Result]) -> Result:
        try:
            return await run_sync(function, limiter=self._limiter)
        finally:
            del self._tasks[key]


async def get_preflight_calls(request: Request) -> SharedCalls[Preflight]:
    """Return the preflights that are being made."""
    calls: SharedCalls[Preflight] = request.app.state.preflight_calls
    return calls


PreflightCalls = Annotated[SharedCalls[Preflight], Depends(get_preflight_calls)]
