"""The service's errors; one handler renders them as RFC 9457 problem details.

AppError
├── BadRequestError            400
├── UnauthorizedError          401
├── ForbiddenError             403
├── NotFoundError              404
├── NotAcceptableError         406
├── RequestTimeoutError        408
├── ConflictError              409
├── GoneError                  410
├── TooLargeError              413
├── UnsupportedMediaTypeError  415
├── RangeNotSatisfiableError   416
├── InvalidRequestError        422
└── UnavailableError           503
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


class BadRequestError(AppError):
    """The request is not well-formed: broken JSON, multipart, digest or header."""

    status = 400
    title = "Bad request"
    default_code = "bad_request"


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


class NotAcceptableError(AppError):
    """The thing has no form that the caller accepts."""

    status = 406
    title = "Not acceptable"
    default_code = "not_acceptable"


class RequestTimeoutError(AppError):
    """The client stopped sending before its body had ended."""

    status = 408
    title = "Request timeout"
    default_code = "request_timeout"


class ConflictError(AppError):
    """The state of the thing forbids the call."""

    status = 409
    title = "Conflict"
    default_code = "conflict"


class GoneError(AppError):
    """The thing existed and was deleted."""

    status = 410
    title = "Gone"
    default_code = "gone"


class TooLargeError(AppError):
    """An upload is over a limit."""

    status = 413
    title = "Content too large"
    default_code = "too_large"


class UnsupportedMediaTypeError(AppError):
    """The body has a content type or encoding that the call does not take."""

    status = 415
    title = "Unsupported media type"
    default_code = "unsupported_media_type"


class RangeNotSatisfiableError(AppError):
    """The asked byte range lies outside the file."""

    status = 416
    title = "Range not satisfiable"
    default_code = "range_not_satisfiable"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes; ask for a range inside them")
        self.size_bytes = size_bytes


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


class StorageError(UnavailableError):
    """The storage cannot be reached, or refused or lost a file; trying again may help."""

    default_code = "storage_unavailable"
