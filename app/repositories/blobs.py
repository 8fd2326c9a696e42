"""Stored blobs: which of them a row names, and keeping them while a row that names them is added.

A blob is stored before the row that names it, and the reaper deletes blobs that no row names. So
whoever adds such a row holds the blob, then looks whether it is there still, then commits; the
reaper holds it while it looks for rows and deletes. One of the two finds what the other did.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, union_all
from sqlalchemy.orm import Session

from app.tables import ArtifactRow, DatasetRow, ModelRow


def hold(session: Session, keys: Iterable[str]) -> None:
    """Wait for whoever else holds one of these blobs; hold them until the transaction ends.

    On SQLite a transaction that may write keeps all others out, once it has begun.
    """
    if session.connection().dialect.name == "sqlite":
        return
    for key in sorted(set(keys)):  # in one order, so that two holders never wait for each other
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def named(session: Session, keys: Sequence[str]) -> frozenset[str]:
    """Return those of the storage keys that a model, dataset or artifact names."""
    columns = (ModelRow.storage_key, DatasetRow.storage_key, ArtifactRow.storage_key)
    query = union_all(*(select(column).where(column.in_(keys)) for column in columns))
    return frozenset(session.scalars(query))
