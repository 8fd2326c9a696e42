"""Doing what a request asks once, however often it is sent with the same `Idempotency-Key`."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from app.db import database_now
from app.errors import ConflictError, InvalidRequestError
from app.repositories import idempotency
from app.services.context import ServiceContext
from app.tables import IdempotencyRow

_ABANDONED_AFTER = timedelta(minutes=15)
"""A call that has not ended by then died with its process, and its key is free again."""


def fingerprint(document: object) -> str:
    """Return the SHA-256 of all that a request says."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


@contextmanager
def once(
    context: ServiceContext, workspace: str, key: str | None, request_sha256: str
) -> Iterator[IdempotencyRow | None]:
    """Hold a key while its request runs; give the row of its earlier use, which names the outcome.

    Raises:
        ConflictError: a call with the same key still runs.
        InvalidRequestError: the key was used for another request.
    """
    if key is None:
        yield None
        return
    earlier = _reserve(context, workspace, key, request_sha256)
    try:
        yield earlier
    finally:
        # Does nothing once a job or sweep has come of it.
        with context.session_factory.begin() as session:
            idempotency.release(session, workspace, key)


def _reserve(
    context: ServiceContext, workspace: str, key: str, request_sha256: str
) -> IdempotencyRow | None:
    lifetime = timedelta(hours=context.settings.idempotency_hours)
    with context.session_factory.begin() as session:
        earlier = idempotency.reserve(
            session, workspace, key, request_sha256=request_sha256, lifetime=lifetime
        )
        if earlier is None:
            return None
        if earlier.request_sha256 != request_sha256:
            raise InvalidRequestError(
                "this Idempotency-Key was used for another request; take a new one",
                code="idempotency_key_reused",
            )
        if earlier.job_id is not None or earlier.sweep_id is not None:
            return earlier
        if earlier.created_at > database_now(session) - _ABANDONED_AFTER:
            raise ConflictError(
                "the first request with this Idempotency-Key still runs; ask again later",
                code="request_in_progress",
            )
        idempotency.release(session, workspace, key)
        idempotency.reserve(
            session, workspace, key, request_sha256=request_sha256, lifetime=lifetime
        )
        return None
