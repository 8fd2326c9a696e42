"""A request's body, piece by piece, from clients that keep sending."""

from collections.abc import AsyncIterator

import anyio
from fastapi import Request

from app.errors import RequestTimeoutError
from app.services.context import ServiceContext


async def body_pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes; a client that falls silent would hold its files for ever.

    Raises:
        RequestTimeoutError: nothing came for as long as the settings bear.
    """
    context: ServiceContext = request.app.state.context
    seconds = context.settings.upload_idle_seconds
    pieces = aiter(request.stream())
    while True:
        try:
            with anyio.fail_after(seconds):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RequestTimeoutError(
                f"nothing of the body came for {seconds:g} seconds; send it again"
            ) from error
        yield piece
