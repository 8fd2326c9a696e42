"""Tests of the database engine and sessions."""

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from threading import Barrier

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, StatementError

from app.db import create_database_engine, create_session_factory, database_now, new_id, reading
from app.repositories import jobs
from app.repositories.jobs import NewJob
from app.tables import ApiKeyRow, JobRow
from tests.conftest import both_databases


def key_row(**columns):
    return ApiKeyRow(
        id="k1",
        workspace="ours",
        name="laptop",
        secret_sha256="0" * 64,
        scopes="read",
        **({"created_at": datetime.now(UTC)} | columns),
    )


@both_databases
def test_timestamps_come_back_aware_and_in_utc(session_factory):
    there = timezone(timedelta(hours=5))
    moment = datetime(2026, 11, 24, 17, 30, tzinfo=there)
    with session_factory.begin() as session:
        session.add(key_row(created_at=moment))

    with session_factory() as session:
        found = session.get_one(ApiKeyRow, "k1").created_at

    assert found == moment
    assert found.utcoffset() == timedelta(0)


@both_databases
def test_naive_timestamps_are_refused(session_factory):
    with pytest.raises(StatementError, match="naive"), session_factory.begin() as session:
        session.add(key_row(created_at=datetime(2026, 11, 24)))  # noqa: DTZ001 - the fault


@both_databases
def test_database_clock_goes_on_within_a_transaction(session):
    first = database_now(session)
    time.sleep(0.01)

    assert database_now(session) > first
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)


@both_databases
def test_writers_wait_for_each_other(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)

    def count_up():
        for _ in range(10):
            with session_factory.begin() as session:
                row = session.get_one(JobRow, job.id, with_for_update=True)
                row.sends += 1

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with session_factory() as session:
        assert session.get_one(JobRow, job.id).sends == 1 + 4 * 10


@both_databases
def test_reading_does_not_wait_for_a_writer(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)

    with session_factory.begin() as writer:
        jobs.cancel(writer, "ours", job.id, retention=None)
        with reading(session_factory) as reader:
            state = jobs.get(reader, "ours", job.id).state

    assert state == "queued"


def test_sqlite_is_durable_and_checks_foreign_keys(session):
    pragmas = {
        name: session.scalar(text(f"PRAGMA {name}"))
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_objects_stay_readable_after_commit(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)

    assert job.state == "queued"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_urls_use_the_driver_we_ship(scheme):
    engine = create_database_engine(f"{scheme}://user:p%40ss@host/name")

    url = engine.url.render_as_string(hide_password=False)
    assert url == "postgresql+psycopg://user:p%40ss@host/name"


def test_sessions_of_another_factory_see_what_was_committed(database_url, session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)
    other = create_session_factory(database_url)

    with other() as session:
        assert session.get_one(JobRow, job.id).state == "queued"
    other.kw["bind"].dispose()


def test_ids_are_unique_and_sort_by_time():
    earlier = new_id("job")
    time.sleep(0.002)
    later = {new_id("job") for _ in range(1000)}

    assert len(later) == 1000
    assert earlier < min(later)
    assert earlier.startswith("job_")


def test_a_new_database_may_be_opened_by_several_at_once(tmp_path):
    """SQLite tells one of them that it is locked, whatever the timeout."""
    barrier = Barrier(2)

    def open_new(number):
        engine = create_database_engine(f"sqlite:///{tmp_path / str(number)}.db")
        barrier.wait()
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        engine.dispose()
        return mode

    with ThreadPoolExecutor(2) as pool:
        for number in range(100):
            assert list(pool.map(open_new, [number] * 2)) == ["wal", "wal"]


def test_what_no_waiting_mends_is_raised_at_once(tmp_path, monkeypatch):
    """Waiting an hour for a file that cannot be written would hang this test."""
    monkeypatch.setattr("app.db._LOCK_WAIT_SECONDS", 3600)
    path = tmp_path / "read_only.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE anything (id)")
    engine = create_database_engine(f"sqlite:///file:{path}?mode=ro&uri=true")

    with pytest.raises(OperationalError, match="readonly"), engine.connect():
        pass
