"""What a sandboxed call may raise besides the engine's own errors."""

from typing import Literal

FailureCode = Literal[
    "out_of_memory", "time_limit", "crashed", "disk_full", "file_too_large", "internal_error"
]


class ChildFailedError(Exception):
    """The child ended without an answer; the message says what to change.

    `was_killed` means that the cause came from outside, such as a signal or a full disk, so the
    request may not be to blame.
    """

    def __init__(self, message: str, *, code: FailureCode, was_killed: bool = False) -> None:
        super().__init__(message)
        self.code: FailureCode = code
        self.was_killed = was_killed


class StoppedError(Exception):
    """The caller's `should_stop` became true; the child is gone."""
