"""The service's errors; one handler renders them as RFC 9457 problem details.

AppError
├── UnauthorizedError    401
├── ForbiddenError       403
├── NotFoundError        404
├── ConflictError        409
├── TooLargeError        413
├── InvalidRequestError  422
└── UnavailableError     503
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field: a JSON pointer into the request, and what is wrong there."""

    pointer: str
    detail: str


class AppError(Exception):
    """Base of all expected service failures; `detail` says what to change.

    `code` is stable snake_case; a caller may pass a narrower one than the class's own.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self, detail: str, *, code: str | None = None, errors: list[FieldError] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors or []


class UnauthorizedError(AppError):
    """No key, or not a valid one: the same answer for unknown, wrong, expired and revoked."""

    status = 401
    title = "Unauthorized"
    default_code = "unauthorized"


class ForbiddenError(AppError):
    """The key lacks the scope."""

    status = 403
    title = "Forbidden"
    default_code = "forbidden"


class NotFoundError(AppError):
    """No such thing in the caller's workspace."""

    status = 404
    title = "Not found"
    default_code = "not_found"


class ConflictError(AppError):
    """The state of the thing forbids the call."""

    status = 409
    title = "Conflict"
    default_code = "conflict"


class TooLargeError(AppError):
    """An upload is over a limit."""

    status = 413
    title = "Content too large"
    default_code = "too_large"


class InvalidRequestError(AppError):
    """The request is well-formed HTTP, and its content is wrong."""

    status = 422
    title = "Invalid request"
    default_code = "invalid_request"


class UnavailableError(AppError):
    """A part of the service is down or busy; the same call may work later."""

    status = 503
    title = "Unavailable"
    default_code = "unavailable"
