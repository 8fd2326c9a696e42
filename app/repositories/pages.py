"""Cursor pages: newest first, the cursor being the last id of the page before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.tables import Base

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and where the next page starts; None on the last page."""

    items: Sequence[Row]
    next_cursor: str | None


def read_page(
    session: Session,
    query: Select[Row],
    id_column: InstrumentedAttribute[str],
    *,
    cursor: str | None,
    limit: int,
) -> Page[Row]:
    """Return the newest `limit` rows of the query that are older than the cursor."""
    if cursor is not None:
        query = query.where(id_column < cursor)
    rows = session.scalars(query.order_by(id_column.desc()).limit(limit + 1)).all()
    items = rows[:limit]
    last_id = getattr(items[-1], id_column.key) if len(rows) > limit else None
    return Page(items, last_id)
