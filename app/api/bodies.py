"""A request's body: piece by piece, from clients that keep sending, or as a document."""

from collections.abc import AsyncIterator, Callable

import anyio
from anyio.to_thread import run_sync
from fastapi import Request

from app.api.documents import MAX_DOCUMENT_BYTES, parse_json, parse_yaml
from app.errors import RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError
from app.services.context import ServiceContext

_YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


def media_type(request: Request) -> str:
    """Return the body's media type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def body_pieces(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes; one without an end would be read for ever.

    Raises:
        TooLargeError: it is longer, or announces that it will be.
        RequestTimeoutError: nothing came for as long as the settings bear.
    """
    announced = request.headers.get("content-length", "")
    _check_size(int(announced) if announced.isdecimal() else 0, max_bytes)
    received = 0
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
        received += len(piece)
        _check_size(received, max_bytes)
        yield piece


async def read_document(request: Request, *, or_else: str | None = None) -> object:
    """Return what a JSON or YAML body says; `or_else` is what else the call takes, for a message.

    Raises:
        UnsupportedMediaTypeError: it is neither.
        BadRequestError: it is not well-formed.
        TooLargeError: it is too long.
    """
    parse = _parser(media_type(request), or_else)
    text = await _read_text(request)
    return await run_sync(parse, text)


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLargeError(f"the body may have {max_bytes} bytes at most")


def _parser(kind: str, or_else: str | None) -> Callable[[bytes], object]:
    if kind in _YAML_TYPES:
        return parse_yaml
    if kind in {"", "application/json"} or kind.endswith("+json"):
        return parse_json
    accepted = ["application/json", "application/yaml", *([or_else] if or_else else [])]
    raise UnsupportedMediaTypeError(
        f"content type {kind!r} is not accepted; send {', '.join(accepted[:-1])} or {accepted[-1]}"
    )


async def _read_text(request: Request) -> bytes:
    text = bytearray()
    async for piece in body_pieces(request, MAX_DOCUMENT_BYTES):
        text += piece
    return bytes(text)
