"""Uploaded models: one row for the same bytes in a workspace."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import database_now
from app.errors import NotFoundError
from app.repositories import preflights
from app.repositories.pages import Page, PageColumns, read_page
from app.tables import ModelRow

_PAGE = PageColumns(ModelRow.id, ModelRow.info)


def add(session: Session, row: ModelRow) -> ModelRow:
    """Add a model.

    Raises:
        sqlalchemy.exc.IntegrityError: the workspace has these bytes already.
    """
    session.add(row)
    session.flush()
    return row


def find(session: Session, workspace: str, model_id: str) -> ModelRow | None:
    """Return the workspace's model, or None."""
    query = select(ModelRow).where(ModelRow.id == model_id, ModelRow.workspace == workspace)
    return session.scalar(query)


def find_by_sha256(session: Session, workspace: str, sha256: str) -> ModelRow | None:
    """Return the workspace's model with these bytes, or None; locked, as by `get_locked`."""
    query = select(ModelRow).where(ModelRow.workspace == workspace, ModelRow.sha256 == sha256)
    return session.scalar(query.with_for_update())


def get(session: Session, workspace: str, model_id: str) -> ModelRow:
    """Return the workspace's model.

    Raises:
        NotFoundError: there is no such model in the workspace.
    """
    return _existing(find(session, workspace, model_id), model_id)


def get_locked(session: Session, workspace: str, model_id: str) -> ModelRow:
    """Return the model, which nobody else may use or delete until the transaction ends.

    Raises:
        NotFoundError: there is no such model in the workspace.
    """
    query = select(ModelRow).where(ModelRow.id == model_id, ModelRow.workspace == workspace)
    return _existing(session.scalar(query.with_for_update()), model_id)


def list(  # noqa: A001 - the repositories' common verb, always called as `models.list`
    session: Session, workspace: str, cursor: str | None = None, limit: int = 50
) -> Page[ModelRow]:
    """Return a page of the workspace's models, newest first."""
    query = select(ModelRow).where(ModelRow.workspace == workspace)
    return read_page(session, query, _PAGE, cursor=cursor, limit=limit)


def delete(session: Session, row: ModelRow) -> None:
    """Delete a model's row; the reaper removes bytes that no row names any more.

    With the last model of these bytes goes what was foretold of them.
    """
    session.delete(row)
    session.flush()
    others = select(ModelRow.id).where(ModelRow.sha256 == row.sha256).limit(1)
    if session.scalar(others) is None:
        preflights.delete_of(session, row.sha256)


def expired(session: Session, limit: int = 100) -> Sequence[ModelRow]:
    """Return models whose time is over, of all workspaces; locked, without those that others lock.

    Whoever holds one may be renewing or using it.
    """
    query = select(ModelRow).where(ModelRow.expires_at <= database_now(session))
    query = query.order_by(ModelRow.expires_at).limit(limit).with_for_update(skip_locked=True)
    return session.scalars(query).all()


def _existing(row: ModelRow | None, model_id: str) -> ModelRow:
    if row is None:
        raise NotFoundError(f"no model {model_id!r}; `GET /v1/models` lists the models there are")
    return row
