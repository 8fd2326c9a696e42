"""Fixtures shared by all tests: databases, broker, storage and settings, all of them real.

`database_url` is SQLite, unless the test asks for `both_databases`, which runs it on each.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis
from sqlalchemy import delete
from sqlalchemy.orm import Session

from app.db import SessionFactory, create_session_factory
from app.migrations import migrate
from app.settings import Settings
from app.storage import Storage
from app.tables import Base
from tests.servers import S3, NoPostgresError, Postgres, run_postgres, run_s3, run_valkey

both_databases = pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("ONNXPRESS_", "AWS_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with a migrated database named `migrated`."""
    try:
        with run_postgres() as server:
            server.execute("CREATE DATABASE migrated")
            migrate(server.url("migrated"))
            yield server
    except NoPostgresError as error:
        pytest.skip(f"NO POSTGRESQL, NOTHING IS TESTED ON IT: {error}")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(request: Any) -> str:
    """The kind of database: `sqlite`, or what `both_databases` says."""
    return getattr(request, "param", "sqlite")


@pytest.fixture
def empty_database_url(database, request, tmp_path) -> Iterator[str]:
    """A database without tables."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
    else:
        server = request.getfixturevalue("postgres")
        name = f"test_{uuid4().hex}"
        server.execute(f"CREATE DATABASE {name}")
        yield server.url(name)
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(database, request, tmp_path) -> str:
    """A migrated database, empty but for its tables; on PostgreSQL always the same one."""
    if database == "sqlite":
        path = tmp_path / "test.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        return f"sqlite:///{path}"
    server = request.getfixturevalue("postgres")
    for table in reversed(Base.metadata.sorted_tables):
        server.execute(str(delete(table)), database="migrated")
    return server.url("migrated")


@pytest.fixture
def session_factory(database_url) -> Iterator[SessionFactory]:
    factory = create_session_factory(database_url)
    yield factory
    factory.kw["bind"].dispose()


@pytest.fixture
def session(session_factory) -> Iterator[Session]:
    """A session in a transaction, committed at the end."""
    with session_factory.begin() as session:
        yield session


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[str]:
    with run_valkey() as url:
        yield url


@pytest.fixture
def valkey_url(valkey_server) -> str:
    """An empty Valkey."""
    with Redis.from_url(valkey_server.replace("redis+socket://", "unix://")) as client:
        client.flushall()
    return valkey_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    with run_s3() as server:
        yield server


@pytest.fixture
def s3_settings(s3_server, monkeypatch, settings) -> Settings:
    """The settings, with an empty S3 bucket for storage and its credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    url = s3_server.create_bucket(f"bucket-{uuid4().hex}")
    return settings.model_copy(update={"storage_url": url, "s3_endpoint": s3_server.endpoint})


@pytest.fixture
def settings(tmp_path, database_url, valkey_url) -> Settings:
    """Settings of a service on the test's own folder, database and broker."""
    return Settings(data_dir=tmp_path / "data", database_url=database_url, redis_url=valkey_url)


@pytest.fixture
def storage(settings) -> Storage:
    """Local storage in the test's own folder."""
    return Storage(settings)
