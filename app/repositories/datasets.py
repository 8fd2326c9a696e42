"""Uploaded datasets: one row for the same bytes and transform in a workspace."""

from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import database_now
from app.errors import NotFoundError
from app.repositories.pages import Page, PageColumns, read_page
from app.tables import DatasetRow

_PAGE = PageColumns(DatasetRow.id, DatasetRow.info)


def add(session: Session, row: DatasetRow) -> DatasetRow:
    """Add a dataset.

    Raises:
        sqlalchemy.exc.IntegrityError: the workspace has these bytes with this transform already.
    """
    session.add(row)
    session.flush()
    return row


def find(session: Session, workspace: str, dataset_id: str) -> DatasetRow | None:
    """Return the workspace's dataset, or None."""
    query = select(DatasetRow).where(DatasetRow.id == dataset_id, DatasetRow.workspace == workspace)
    return session.scalar(query)


def find_by_sha256(
    session: Session, workspace: str, sha256: str, transform_sha256: str = ""
) -> DatasetRow | None:
    """Return the workspace's dataset of these bytes and transform, locked as by `get_locked`."""
    query = select(DatasetRow).where(
        DatasetRow.workspace == workspace,
        DatasetRow.sha256 == sha256,
        DatasetRow.transform_sha256 == transform_sha256,
    )
    return session.scalar(query.with_for_update())


def get(session: Session, workspace: str, dataset_id: str) -> DatasetRow:
    """Return the workspace's dataset.

    Raises:
        NotFoundError: there is no such dataset in the workspace.
    """
    return _existing(find(session, workspace, dataset_id), dataset_id)


def get_locked(session: Session, workspace: str, dataset_id: str) -> DatasetRow:
    """Return the dataset, which nobody else may use or delete until the transaction ends.

    Raises:
        NotFoundError: there is no such dataset in the workspace.
    """
    query = select(DatasetRow).where(DatasetRow.id == dataset_id, DatasetRow.workspace == workspace)
    return _existing(session.scalar(query.with_for_update()), dataset_id)


def get_all_locked(
    session: Session, workspace: str, dataset_ids: Iterable[str | None]
) -> Sequence[DatasetRow]:
    """Return those of the datasets that are named, each as by `get_locked`.

    They are locked in one order, so that two callers never wait for each other.
    """
    named = sorted(set(filter(None, dataset_ids)))
    return [get_locked(session, workspace, dataset_id) for dataset_id in named]


def list(  # noqa: A001 - the repositories' common verb, always called as `datasets.list`
    session: Session, workspace: str, cursor: str | None = None, limit: int = 50
) -> Page[DatasetRow]:
    """Return a page of the workspace's datasets, newest first."""
    query = select(DatasetRow).where(DatasetRow.workspace == workspace)
    return read_page(session, query, _PAGE, cursor=cursor, limit=limit)


def delete(session: Session, row: DatasetRow) -> None:
    """Delete a dataset's row; the reaper removes bytes that no row names any more."""
    session.delete(row)
    session.flush()


def expired(session: Session, limit: int = 100) -> Sequence[DatasetRow]:
    """Return datasets whose time is over, locked, as `models.expired` does."""
    query = select(DatasetRow).where(DatasetRow.expires_at <= database_now(session))
    query = query.order_by(DatasetRow.expires_at).limit(limit).with_for_update(skip_locked=True)
    return session.scalars(query).all()


def _existing(row: DatasetRow | None, dataset_id: str) -> DatasetRow:
    if row is None:
        raise NotFoundError(
            f"no dataset {dataset_id!r}; `GET /v1/datasets` lists the datasets there are"
        )
    return row
