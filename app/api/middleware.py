"""Request ids, the access log and HTTP metrics, as one plain ASGI middleware."""

import re
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.metrics import Metrics

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_UNLOGGED_PATHS = frozenset({"/livez", "/readyz", "/metrics"})

log = structlog.stdlib.get_logger(__name__)


class ObservingMiddleware:
    """Gives each request an id, then logs and counts it when its response has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _choose_request_id(Headers(scope=scope))
        scope["request_id"] = request_id
        status = 500
        started = perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                self._record(scope, status, perf_counter() - started)

    def _record(self, scope: Scope, status: int, duration_seconds: float) -> None:
        method, route = _method(scope), _route_template(scope)
        self._metrics.count_request(method, route, status, duration_seconds)
        if scope["path"] not in _UNLOGGED_PATHS:
            log.info(
                "http.request",
                method=method,
                path=scope["path"],
                status=status,
                duration_seconds=round(duration_seconds, 4),
                client=scope["client"][0] if scope.get("client") else None,
            )


def _choose_request_id(headers: Headers) -> str:
    """Return the caller's id where it is safe to log and echo, else a new one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _method(scope: Scope) -> str:
    """Return the method, with made-up ones as one value so that metrics stay bounded."""
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
    return scope["method"] if scope["method"] in known else "OTHER"


def _route_template(scope: Scope) -> str:
    """Return the matched route with its placeholders, or one word for all that matched none."""
    route = scope.get("route")
    return getattr(route, "path", "unmatched")
