"""Cursor pages: newest first, the cursor being the last id of the page before.

A page is bounded in bytes as well as in rows: a row may hold a document of a megabyte, and a whole
page is in memory before its first byte is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Row as Columns
from sqlalchemy import Select, Text, cast, func
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.tables import Base

MAX_PAGE_BYTES = 4 * 2**20

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Some rows, and where the next page starts; None on the last page."""

    items: Sequence[Row]
    next_cursor: str | None


@dataclass(frozen=True)
class PageColumns:
    """A table's id, and its column that may be long."""

    id: InstrumentedAttribute[str]
    document: InstrumentedAttribute[Any]


def read_page(
    session: Session,
    query: Select[Row],
    columns: PageColumns,
    *,
    cursor: str | None,
    limit: int,
) -> Page[Row]:
    """Return the newest rows of the query that are older than the cursor.

    There are `limit` of them, or as many as their documents leave room for, but one at least.
    """
    ids = columns.id
    if cursor is not None:
        query = query.where(ids < cursor)
    query = query.order_by(ids.desc())
    sizes = query.with_only_columns(ids, func.length(cast(columns.document, Text)))
    found = session.execute(sizes.limit(limit + 1)).all()
    fitting = _fitting(found, limit)
    items = session.scalars(query.where(ids.in_(fitting))).all() if fitting else []
    return Page(items, fitting[-1] if len(found) > len(fitting) else None)


def _fitting(found: Sequence[Columns[str, int]], limit: int) -> list[str]:
    """Return the ids of the first rows that make a page."""
    ids: list[str] = []
    left = MAX_PAGE_BYTES
    for row_id, size_bytes in found[:limit]:
        left -= size_bytes
        if ids and left < 0:
            break
        ids.append(row_id)
    return ids
