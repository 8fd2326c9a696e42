"""API keys."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.db import database_now
from app.errors import NotFoundError
from app.tables import ApiKeyRow

_USE_RESOLUTION = timedelta(minutes=1)


def add(session: Session, row: ApiKeyRow) -> ApiKeyRow:
    """Add a key."""
    session.add(row)
    session.flush()
    return row


def find_valid(session: Session, key_id: str) -> ApiKeyRow | None:
    """Return the key unless it is unknown, expired or revoked; the caller checks its secret."""
    row = session.get(ApiKeyRow, key_id, populate_existing=True)
    if row is None or row.revoked_at is not None:
        return None
    has_expired = row.expires_at is not None and row.expires_at <= database_now(session)
    return None if has_expired else row


def is_use_noted(session: Session, row: ApiKeyRow) -> bool:
    """Return whether a use of the key was noted within the last minute."""
    last_used_at = row.last_used_at
    return last_used_at is not None and last_used_at >= database_now(session) - _USE_RESOLUTION


def mark_used(session: Session, key_id: str) -> None:
    """Note that the key is in use, to the minute."""
    now = database_now(session)
    is_older = or_(ApiKeyRow.last_used_at.is_(None), ApiKeyRow.last_used_at < now - _USE_RESOLUTION)
    statement = update(ApiKeyRow).where(ApiKeyRow.id == key_id, is_older).values(last_used_at=now)
    session.execute(statement, execution_options={"synchronize_session": False})


def list(session: Session, workspace: str | None = None) -> Sequence[ApiKeyRow]:  # noqa: A001 - as in jobs
    """Return the keys of one workspace, or all of them, oldest first."""
    query = select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id)
    if workspace is not None:
        query = query.where(ApiKeyRow.workspace == workspace)
    return session.scalars(query).all()


def revoke(session: Session, key_id: str) -> ApiKeyRow:
    """Revoke a key for good; one that is revoked already keeps its time.

    Raises:
        NotFoundError: there is no such key.
    """
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise NotFoundError(f"no key {key_id!r}; `onnxpress keys list` lists the keys there are")
    row.revoked_at = row.revoked_at or database_now(session)
    session.flush()
    return row
