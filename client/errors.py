"""The client's errors.

ClientError
├── ProblemError       the service refused the call, and says why
├── UnreachableError   there is no service at the address, or it went away
└── CorruptedError     a download is not what the service announced
"""

from client.resources import Problem


class ClientError(Exception):
    """Base of all failures of a call; the message is for people."""


class ProblemError(ClientError):
    """The service answered with problem details (RFC 9457)."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class UnreachableError(ClientError):
    """No answer came."""


class CorruptedError(ClientError):
    """The bytes received do not have the announced SHA-256; nothing was kept."""
