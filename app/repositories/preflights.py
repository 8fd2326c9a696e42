"""Preflights: one row for the bytes of a model and the versions of the engine."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.db import database_now
from app.tables import JsonObject, PreflightRow


def find(session: Session, model_sha256: str, engine: str) -> JsonObject | None:
    """Return what this engine answered about a model, or None."""
    row = session.get(PreflightRow, (model_sha256, engine))
    return None if row is None else row.contents


def put(session: Session, model_sha256: str, engine: str, contents: JsonObject) -> None:
    """Keep an answer, in place of what any engine answered before.

    Raises:
        sqlalchemy.exc.IntegrityError: somebody else kept one at the same time.
    """
    delete_of(session, model_sha256)
    session.add(
        PreflightRow(
            model_sha256=model_sha256,
            engine=engine,
            contents=contents,
            created_at=database_now(session),
        )
    )
    session.flush()


def delete_of(session: Session, model_sha256: str) -> None:
    """Delete every answer about a model."""
    session.execute(delete(PreflightRow).where(PreflightRow.model_sha256 == model_sha256))
