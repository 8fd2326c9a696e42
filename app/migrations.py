"""Database migrations, by Alembic: bringing a database up to date and telling whether it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from app.db import create_database_engine
from app.resources import resource_folder

_LOCK_ID = 0x6F6E6E78
"""PostgreSQL advisory lock: `onnx` in ASCII."""


def migrate(database_url: str) -> None:
    """Bring the database up to date, waiting for anyone who is doing that already."""
    _make_folder(database_url)
    engine = create_database_engine(database_url)
    try:
        with engine.connect() as connection, _alone(connection):
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def is_current(connection: Connection) -> bool:
    """Return whether the database is at the newest migration."""
    heads = ScriptDirectory.from_config(alembic_config()).get_heads()
    return set(MigrationContext.configure(connection).get_current_heads()) == set(heads)


def alembic_config() -> Config:
    """Return Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(resource_folder("migrations")).replace("%", "%%"))
    return config


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold off other migrations: SQLite's write lock does, PostgreSQL takes an advisory lock."""
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
        yield


def _make_folder(database_url: str) -> None:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database not in {None, "", ":memory:"}:
        Path(str(url.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
