"""Errors as RFC 9457 problem details: one body, and one handler for each way to fail."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api.middleware import REQUEST_ID_HEADER
from app.errors import (
    AppError,
    BadRequestError,
    FieldError,
    InvalidRequestError,
    RangeNotSatisfiableError,
    StorageError,
    UnauthorizedError,
    UnavailableError,
)
from worker.engine.errors import EngineError

MEDIA_TYPE = "application/problem+json"
_HTTP_ERRORS = {
    404: ("not_found", "Not found", "no such path; see /docs for the calls there are"),
    405: ("method_not_allowed", "Method not allowed", "this path takes {allow} only"),
}
_DATABASE_FAULTS = (OperationalError, InterfaceError, PoolTimeoutError)

log = structlog.stdlib.get_logger(__name__)


class FieldProblem(BaseModel):
    """One wrong field of the request."""

    pointer: str = Field(examples=["#/spec/passes/0/sparsity"])
    """JSON pointer into the body, or `#/query/…`, `#/path/…`, `#/header/…`."""
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable, `detail` says what to change."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str = Field(examples=["urn:onnxpress:problem:invalid_model"])
    title: str = Field(examples=["Invalid request"])
    status: int = Field(examples=[422])
    detail: str
    code: str = Field(examples=["invalid_model"])
    errors: list[FieldProblem] = []
    request_id: str | None = None


Responses = dict[int | str, dict[str, Any]]


def responses(*statuses: int) -> Responses:
    """Return the OpenAPI entry of an endpoint's expected errors."""
    return {
        status: {"description": _REASONS[status], "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in statuses
    }


_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_REASONS = {
    400: "The request is malformed",
    401: "No valid API key",
    403: "The key lacks the scope",
    404: "No such thing in your workspace",
    406: "No acceptable form",
    408: "The body stopped coming",
    409: "The state forbids it",
    410: "It was deleted",
    413: "Over a limit",
    415: "Unsupported content type",
    416: "The range lies outside the file",
    422: "The content is wrong",
    503: "Temporarily unavailable",
}


def install_problem_handlers(app: FastAPI) -> None:
    """Make every failure of the app a problem."""
    app.add_exception_handler(AppError, _render_app_error)
    app.add_exception_handler(StorageError, _render_storage_error)
    for fault in _DATABASE_FAULTS:
        app.add_exception_handler(fault, _render_database_fault)
    app.add_exception_handler(EngineError, _render_engine_error)
    app.add_exception_handler(RequestValidationError, _render_validation_error)
    app.add_exception_handler(HTTPException, _render_http_error)
    app.add_exception_handler(ClientDisconnect, _render_disconnect)
    app.add_exception_handler(Exception, _render_unexpected)


def _render(request: Request, problem: Problem, headers: dict[str, str]) -> Response:
    problem.request_id = request.scope.get("request_id")
    return JSONResponse(
        problem.model_dump(),
        status_code=problem.status,
        headers={**headers, REQUEST_ID_HEADER: problem.request_id or ""},
        media_type=MEDIA_TYPE,
    )


def _render_app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)  # noqa: S101 - starlette's handlers take any Exception
    return _render(request, _problem_of(error), _headers_of(error))


def _render_storage_error(request: Request, error: Exception) -> Response:
    """Keep the storage's own words, which name files of ours, in the log."""
    log.error("http.storage_error", exc_info=error)
    unavailable = UnavailableError("the storage does not work now; try again later")
    return _render_app_error(request, unavailable)


def _render_database_fault(request: Request, error: Exception) -> Response:
    """Say that the database is away or busy; a mistake of ours in a query stays an internal one."""
    log.error("http.database_error", exc_info=error)
    unavailable = UnavailableError("the database does not answer now; try again later")
    return _render_app_error(request, unavailable)


def _problem_of(error: AppError) -> Problem:
    return Problem(
        type=f"urn:onnxpress:problem:{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        errors=[FieldProblem(pointer=it.pointer, detail=it.detail) for it in error.errors],
    )


def _headers_of(error: AppError) -> dict[str, str]:
    match error:
        case UnauthorizedError():
            return {"WWW-Authenticate": 'Bearer realm="onnxpress"'}
        case RangeNotSatisfiableError():
            return {"Content-Range": f"bytes */{error.size_bytes}"}
        case UnavailableError():
            return {"Retry-After": "5"}
        case _:
            return {}


def _render_engine_error(request: Request, error: Exception) -> Response:
    """Render what the engine says about an upload; it is the upload's fault."""
    assert isinstance(error, EngineError)  # noqa: S101 - as above
    return _render_app_error(request, InvalidRequestError(str(error), code=error.code))


def _render_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    errors = [
        FieldError("#/" + "/".join(str(part) for part in it["loc"]), it["msg"])
        for it in error.errors()
    ]
    detail = "; ".join(f"{it.pointer[2:]}: {it.detail}" for it in errors[:3])
    return _render_app_error(request, InvalidRequestError(detail, errors=errors))


def _render_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    code, title, detail = _HTTP_ERRORS.get(
        error.status_code, ("http_error", "Request refused", str(error.detail))
    )
    problem = Problem(
        type=f"urn:onnxpress:problem:{code}",
        title=title,
        status=error.status_code,
        detail=detail.format(allow=headers.get("Allow", "other methods")),
        code=code,
    )
    return _render(request, problem, headers)


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes at this path; starlette knows the first route's only."""
    routes: list[APIRoute] = request.app.state.api_routes
    here = (it for it in routes if it.path_regex.fullmatch(request.scope["path"]))
    return sorted({method for route in here for method in route.methods or ()})


def _render_disconnect(request: Request, _error: Exception) -> Response:
    """Answer a client that went away; the log keeps the answer, nobody reads it."""
    gone = BadRequestError("the upload ended before its last byte", code="upload_interrupted")
    return _render_app_error(request, gone)


def _render_unexpected(request: Request, error: Exception) -> Response:
    """Log the traceback and tell the caller nothing but the request's id."""
    log.error("http.internal_error", exc_info=error, request_id=request.scope.get("request_id"))
    internal = AppError("something went wrong on our side; the log has it under this request_id")
    return _render(request, _problem_of(internal), {})
