"""Request bodies with files: streamed to the spool in a thread, never held in memory."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import anyio
from anyio import CapacityLimiter, from_thread
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from app.api.bodies import body_pieces, media_type
from app.api.dependencies import Context
from app.api.documents import MAX_DOCUMENT_BYTES
from app.api.forms import FormFields, FormReader, ReceivedForm
from app.errors import BadRequestError, UnavailableError, UnsupportedMediaTypeError
from app.metrics import Metrics
from app.services.context import ServiceContext
from app.services.uploads import SpoolWriter, clean_name

_WRITE_BYTES = 2**20
_FORM = "multipart/form-data"
_MULTIPART_OVERHEAD_BYTES = 64 * 2**10
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


Result = TypeVar("Result")


class BodyReader(Protocol):
    """Takes a body piece by piece, in a thread."""

    def write(self, data: bytes) -> None:
        """Take the next piece."""

    def finish(self) -> ReceivedForm:
        """Take the end of the body; return what it held."""

    def discard(self) -> None:
        """Remove every file that is still in the spool."""


class RawReader:
    """A body that is one file."""

    def __init__(self, spool: Path, field_name: str, name: str, max_bytes: int) -> None:
        self._field_name = field_name
        self._writer = SpoolWriter(spool, clean_name(name), max_bytes)

    def write(self, data: bytes) -> None:
        """Append to the file."""
        self._writer.write(data)

    def finish(self) -> ReceivedForm:
        """Return the one file."""
        return ReceivedForm(files={self._field_name: self._writer.finish()})

    def discard(self) -> None:
        """Remove the file."""
        self._writer.discard()


class UploadReceiver:
    """Receives one request's files and has them worked on, a bounded number at a time."""

    def __init__(self, request: Request, context: ServiceContext) -> None:
        self.request = request
        self.context = context
        self._limiter: CapacityLimiter = request.app.state.validation_limiter
        self._metrics: Metrics = request.app.state.metrics

    @asynccontextmanager
    async def receive(
        self, fields: FormFields, name: str | None = None
    ) -> AsyncIterator[ReceivedForm]:
        """Stream the body into the spool; whatever happens, its files are gone from it afterwards.

        A raw body is the form's only file, called `name`.

        Raises:
            UnsupportedMediaTypeError: the body is neither raw bytes nor a form.
            TooLargeError: a file passes the cap.
            BadRequestError: the form is broken, or the body is not what its digest says.
        """
        reader = await run_sync(self._open_reader, fields, name)
        try:
            await _read_body(self.request, reader, self._max_body_bytes(fields))
            form = await run_sync(reader.finish)
            self._metrics.count_upload(sum(it.size_bytes for it in form.files.values()))
            yield form
        finally:
            reader.discard()

    async def work(self, function: Callable[[], Result]) -> Result:
        """Run a service's call on what was received, in a thread; waiting for one holds none.

        Raises:
            UnavailableError: too many others were before it.
            ClientDisconnect: its client went away while it waited.
        """

        def run() -> Result:
            if from_thread.run(self.request.is_disconnected):
                raise ClientDisconnect
            return function()

        async with self._turn():
            return await run_sync(run)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        seconds = self.context.settings.validation_wait_seconds
        borrower = object()
        try:
            with anyio.fail_after(seconds):
                await self._limiter.acquire_on_behalf_of(borrower)
        except TimeoutError as error:
            raise UnavailableError(
                f"other uploads were still being checked after {seconds:g} seconds; try again later"
            ) from error
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(borrower)

    def _max_body_bytes(self, fields: FormFields) -> int:
        """Return what a body may have in all; each of its files has its own cap besides."""
        max_file_bytes = self.context.settings.max_upload_bytes
        if media_type(self.request) != _FORM:
            return max_file_bytes
        texts = len(fields.texts) * MAX_DOCUMENT_BYTES
        return len(fields.files) * max_file_bytes + texts + _MULTIPART_OVERHEAD_BYTES

    def _open_reader(self, fields: FormFields, name: str | None) -> BodyReader:
        spool = self.context.storage.spool()
        max_bytes = self.context.settings.max_upload_bytes
        return _open_reader(self.request, spool, fields, name, max_bytes)


async def get_receiver(request: Request, context: Context) -> UploadReceiver:
    """Return what receives this request's files."""
    return UploadReceiver(request, context)


Receiver = Annotated[UploadReceiver, Depends(get_receiver)]


def _open_reader(
    request: Request, spool: Path, fields: FormFields, name: str | None, max_bytes: int
) -> BodyReader:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaTypeError(
            f"content encoding {encoding!r} is not accepted; send the bytes as they are"
        )
    kind = media_type(request)
    if kind == _FORM:
        _, options = parse_options_header(request.headers["content-type"])
        if not options.get(b"boundary"):
            raise BadRequestError("the multipart content type names no boundary")
        return FormReader(spool, options[b"boundary"], fields, max_bytes)
    if kind in {"application/octet-stream", ""} and len(fields.files) == 1:
        (field_name,) = fields.files
        return RawReader(spool, field_name, name or "", max_bytes)
    accepted = f"application/octet-stream or {_FORM}"
    raise UnsupportedMediaTypeError(f"content type {kind!r} is not accepted; send {accepted}")


async def _read_body(request: Request, reader: BodyReader, max_bytes: int) -> None:
    """Pass the body on in large pieces, and check it against the digest its sender gave."""
    expected = _expected_digest(request.headers)
    digest = hashlib.sha256()

    def take(piece: bytes) -> None:
        if expected is not None:
            digest.update(piece)
        reader.write(piece)

    buffer = bytearray()
    async for chunk in body_pieces(request, max_bytes):
        buffer += chunk
        if len(buffer) >= _WRITE_BYTES:
            await run_sync(take, bytes(buffer))
            buffer.clear()
    await run_sync(take, bytes(buffer))
    if expected is not None and not hmac.compare_digest(expected, digest.digest()):
        raise BadRequestError(
            "the body's SHA-256 is not the one in its digest header; send it again",
            code="digest_mismatch",
        )


def _expected_digest(headers: Mapping[str, str]) -> bytes | None:
    """Return the SHA-256 of a `Content-Digest` or `Repr-Digest` header (RFC 9530)."""
    given = headers.get("content-digest") or headers.get("repr-digest")
    if given is None or "sha-256" not in given:
        return None
    match = _DIGEST.search(given)
    if match is None:
        raise BadRequestError("a digest header looks like `sha-256=:<base64>:`")
    try:
        return base64.b64decode(match[1], validate=True)
    except binascii.Error as error:
        raise BadRequestError("the digest header is not base64") from error
