"""Alembic's environment: `app.migrations` hands in a connection; the command line makes one."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

from app.db import UtcDateTime, create_database_engine
from app.settings import Settings
from app.tables import Base


def render_item(kind: str, item: object, _context: AutogenContext) -> str | Literal[False]:
    """Write our timestamps as plain ones, so that migrations need none of the app's code."""
    is_timestamp = kind == "type" and isinstance(item, UtcDateTime)
    return "sa.DateTime(timezone=True)" if is_timestamp else False


def run_migrations(connection: Connection) -> None:
    """Run the migrations that Alembic was called for, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        compare_server_default=True,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("offline mode is not supported: run against a database")

given = context.config.attributes.get("connection")
if given is not None:
    run_migrations(given)
else:
    engine = create_database_engine(Settings().resolved_database_url)
    with engine.connect() as connection:
        run_migrations(connection)
    engine.dispose()
