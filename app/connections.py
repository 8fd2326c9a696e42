"""HTTP connections that must ask for something, or be closed."""

import asyncio

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """uvicorn's own protocol, but for closing a connection whose next request does not come.

    uvicorn gives up a connection that is silent after an answer, yet neither one that is silent
    from the start nor one that sends its head byte by byte. Enough of these would take all the
    files that the process may open, and nobody could connect any more.
    """

    head_seconds = 30.0
    """How long the head of a request may take."""
    _head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    @override
    def on_response_complete(self) -> None:
        self._expect_head()
        super().on_response_complete()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._forget_head()
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()
