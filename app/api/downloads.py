"""Downloads of stored files: ranges, conditions, digests and compression on the way."""

import base64
import re
from collections.abc import Iterable, Iterator
from email.utils import format_datetime
from urllib.parse import quote

import zstandard
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from app.api.problems import Responses
from app.errors import GoneError, RangeNotSatisfiableError, StorageError
from app.services.content import Content
from app.storage import Storage

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,19})\s*-\s*(\d{0,19})", re.IGNORECASE)
_ZSTD_LEVEL = 3

DOWNLOAD_RESPONSES: Responses = {
    200: {
        "description": "The whole file; `zstd`-encoded where `Accept-Encoding` takes it",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
    206: {"description": "The asked range"},
    304: {"description": "The caller's copy, named by `If-None-Match`, is current"},
}


def serve_content(request: Request, storage: Storage, content: Content) -> Response:
    """Return the file, the part of it that is asked for, or the news that nothing changed.

    Raises:
        RangeNotSatisfiableError: the asked range lies outside the file.
        GoneError: the file is not in the storage any more.
    """
    try:
        return _serve(request, storage, content)
    except StorageError as error:
        if error.code != "storage_missing":
            raise
        raise GoneError(f"the file {content.file_name!r} was deleted") from error


def _serve(request: Request, storage: Storage, content: Content) -> Response:
    etag = f'"{content.sha256}"'
    headers = _headers(content, etag)
    if _names_tag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers={"ETag": etag, "Vary": "Accept-Encoding"})
    byte_range = _asked_range(request, content, etag)
    if byte_range is not None:
        start, end = byte_range
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size_bytes}"
        headers["Content-Length"] = str(end - start)
        return _stream(request, storage.read(content.storage_key, start, end), headers, 206)
    chunks = storage.read(content.storage_key)
    if _accepts_zstd(request.headers.get("accept-encoding", "")):
        # Ranges and the digest are those of the file, not of this encoding of it.
        del headers["Accept-Ranges"], headers["Repr-Digest"]
        headers["ETag"] = f'W/"{content.sha256}"'
        headers["Content-Encoding"] = "zstd"
        return _stream(request, _compress(chunks, content.size_bytes), headers, 200)
    headers["Content-Length"] = str(content.size_bytes)
    return _stream(request, chunks, headers, 200)


def content_disposition(file_name: str) -> str:
    """Return an attachment header with the name as it is (RFC 8187) and as ASCII (RFC 6266)."""
    plain = re.sub(r'[^ -~]|["\\%;]', "_", file_name)
    header = f'attachment; filename="{plain}"'
    if plain != file_name:
        header += f"; filename*=UTF-8''{quote(file_name, safe='', errors='replace')}"
    return header


def _headers(content: Content, etag: str) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(content.sha256)).decode()
    return {
        "Content-Type": content.media_type,
        "Content-Disposition": content_disposition(content.file_name),
        "ETag": etag,
        "Repr-Digest": f"sha-256=:{digest}:",
        "Last-Modified": format_datetime(content.created_at, usegmt=True),
        "Accept-Ranges": "bytes",
        "Vary": "Accept-Encoding",
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def _names_tag(header: str | None, etag: str) -> bool:
    """Return whether an `If-None-Match` names the tag; it compares weakly (RFC 9110, 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return etag in tags or "*" in tags


def _asked_range(request: Request, content: Content, etag: str) -> tuple[int, int] | None:
    """Return the range to send, end excluded, or None for the whole file.

    A header that is malformed, asks for several ranges or in another unit is ignored, as is one
    whose `If-Range` names another version.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or match[1] == match[2] == "" or request.method != "GET":
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    size = content.size_bytes
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiableError(size)
    return start, end


def _accepts_zstd(header: str) -> bool:
    for item in header.lower().split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip() == "zstd":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False


def _compress(chunks: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj(size=size_bytes)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _stream(
    request: Request, chunks: Iterator[bytes], headers: dict[str, str], status: int
) -> Response:
    if request.method == "HEAD":
        return StreamingResponse(iter(()), status_code=status, headers=headers)
    return StreamingResponse(chunks, status_code=status, headers=headers)
