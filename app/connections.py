"""HTTP connections whose clients must go on asking and taking answers, or be closed."""

import asyncio

import h11
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """uvicorn's own protocol, but for closing a connection whose client has stopped.

    uvicorn gives up a connection that is silent after an answer, yet neither one that is silent
    from the start nor one that sends its head byte by byte. Enough of these would take all the
    files that the process may open, and nobody could connect any more. Nor does it give up one
    that takes nothing of its answer, which holds a part of that in memory.
    """

    head_seconds = 30.0
    """How long the head of a request may take."""
    stall_seconds = 300.0
    """How long a client may take nothing of an answer; slow ones take a megabyte at a time."""
    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None

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
        _cancel(self._head_timer)
        _cancel(self._stall_timer)
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_taking()

    @override
    def resume_writing(self) -> None:
        _cancel(self._stall_timer)
        super().resume_writing()

    def _expect_head(self) -> None:
        _cancel(self._head_timer)
        self._head_timer = self.loop.call_later(self.head_seconds, self._check_head)

    def _check_head(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.close()

    def _expect_taking(self) -> None:
        _cancel(self._stall_timer)
        left = self.transport.get_write_buffer_size()
        self._stall_timer = self.loop.call_later(self.stall_seconds, self._check_taking, left)

    def _check_taking(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._expect_taking()
        else:
            self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
