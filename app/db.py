"""Database engine and sessions, the same on SQLite and PostgreSQL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, DateTime, Dialect, Engine, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

SessionFactory = sessionmaker[Session]

_READ_ONLY = "onnxpress_read_only"
_LOCK_WAIT_SECONDS = 30
_LOCK_RETRY_SECONDS = 0.05
_PRIMARY_CODE = 0xFF
"""Of SQLite's result codes: the bits that the kinds of one result share."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC timestamp on every database; SQLite itself keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"naive timestamp {value}")
        return value.astimezone(UTC) if value else value

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # SQLite's have no zone, and PostgreSQL's come in the session's, which is no `UTC` to Python
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def create_database_engine(url: str) -> Engine:
    """Return an engine; on SQLite with WAL, foreign keys, full sync and `BEGIN IMMEDIATE`."""
    if not url.startswith("sqlite"):
        return create_engine(_with_driver(url), pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    # Python's sqlite3 begins a deferred transaction, whose upgrade to a write fails at once under
    # load; SQLAlchemy's documented recipe is to begin it ourselves.
    event.listen(engine, "begin", _begin)
    return engine


def create_session_factory(url: str) -> SessionFactory:
    """Return a factory of sessions whose objects stay readable after commit."""
    return sessionmaker(create_database_engine(url), expire_on_commit=False)


@contextmanager
def reading(session_factory: SessionFactory) -> Iterator[Session]:
    """Open a session that only reads: on SQLite it neither waits for writers nor holds them up."""
    with session_factory() as session:
        session.connection(execution_options={_READ_ONLY: True})
        yield session


def database_now(session: Session) -> datetime:
    """Return the time by the database's clock, so that hosts agree on leases."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def new_id(prefix: str) -> str:
    """Return an id that sorts by creation time: prefix, milliseconds since 1970, random bits."""
    milliseconds = int(datetime.now(UTC).timestamp() * 1000)
    return f"{prefix}_{milliseconds:012x}{uuid4().hex[:16]}"


def _with_driver(url: str) -> str:
    """Return a PostgreSQL URL that names psycopg 3, which is the driver we ship."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    return parsed.render_as_string(hide_password=False)


def _configure_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - DBAPI connection
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("busy_timeout=30000", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _use_write_ahead_log(cursor)
    cursor.close()


def _use_write_ahead_log(cursor: sqlite3.Cursor) -> None:
    """Have a database use its write-ahead log, waiting for another process that is about to.

    SQLite does not wait by itself here: where two processes open a new database, one of them is
    told at once that it is locked, whatever the timeout (sqlite.org/wal.html).
    """
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() >= deadline:
                raise
            time.sleep(_LOCK_RETRY_SECONDS)
        else:
            return


def _begin(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")
