"""Idempotency keys: which request each was first used for, and the job or sweep it made."""

from datetime import timedelta

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import database_now
from app.tables import IdempotencyRow


def reserve(
    session: Session, workspace: str, key: str, *, request_sha256: str, lifetime: timedelta
) -> IdempotencyRow | None:
    """Reserve a key for a request and return None, or return the row of its earlier use.

    An earlier use that is older than the lifetime is forgotten. The earlier row names neither a
    job nor a sweep while that request still runs.
    """
    now = database_now(session)
    is_same = (IdempotencyRow.workspace == workspace, IdempotencyRow.key == key)
    session.execute(
        delete(IdempotencyRow).where(*is_same, IdempotencyRow.created_at < now - lifetime),
        execution_options={"synchronize_session": False},
    )
    try:
        with session.begin_nested():
            session.execute(
                insert(IdempotencyRow).values(
                    workspace=workspace, key=key, request_sha256=request_sha256, created_at=now
                )
            )
    except IntegrityError:
        earlier = session.get(IdempotencyRow, (workspace, key), populate_existing=True)
        if earlier is not None:
            return earlier
        # Its request was refused meanwhile, which freed the key again.
        return reserve(session, workspace, key, request_sha256=request_sha256, lifetime=lifetime)
    return None


def complete(
    session: Session,
    workspace: str,
    key: str,
    *,
    job_id: str | None = None,
    sweep_id: str | None = None,
) -> None:
    """Note what came of the key's request, in the transaction that adds it."""
    is_same = (IdempotencyRow.workspace == workspace, IdempotencyRow.key == key)
    session.execute(
        update(IdempotencyRow).where(*is_same).values(job_id=job_id, sweep_id=sweep_id),
        execution_options={"synchronize_session": False},
    )


def release(session: Session, workspace: str, key: str) -> None:
    """Forget a key whose request was refused, so that it can be used again once mended."""
    session.execute(
        delete(IdempotencyRow).where(
            IdempotencyRow.workspace == workspace,
            IdempotencyRow.key == key,
            IdempotencyRow.job_id.is_(None),
            IdempotencyRow.sweep_id.is_(None),
        ),
        execution_options={"synchronize_session": False},
    )


def delete_older(session: Session, lifetime: timedelta) -> None:
    """Forget the keys older than the lifetime."""
    limit = database_now(session) - lifetime
    session.execute(
        delete(IdempotencyRow).where(IdempotencyRow.created_at < limit),
        execution_options={"synchronize_session": False},
    )
