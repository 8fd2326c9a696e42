from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.db import database_now, new_id
from app.tables import ApiKeyRow
from tests.conftest import both_databases

TOKYO = timezone(timedelta(hours=9))
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def add_key(session, created_at: datetime) -> ApiKeyRow:
    key = ApiKeyRow(
        id=new_id("key"),
        workspace="default",
        name="ci",
        secret_sha256="0" * 64,
        scopes="read",
        created_at=created_at,
    )
    session.add(key)
    session.flush()
    session.refresh(key)
    return key


@both_databases
def test_a_timestamp_comes_back_in_utc(session):
    key = add_key(session, NOON.astimezone(TOKYO))

    assert key.created_at == NOON
    assert key.created_at.tzinfo is UTC


def test_a_timestamp_without_a_zone_is_refused(session):
    with pytest.raises(Exception, match="naive timestamp"):
        add_key(session, NOON.replace(tzinfo=None))
    session.rollback()


@both_databases
def test_the_database_clock_is_aware_and_about_now(session):
    assert abs(database_now(session) - datetime.now(UTC)) < timedelta(minutes=1)


def test_ids_sort_by_creation_time():
    ids = [new_id("job") for _ in range(3)]

    assert {one[: len("job_")] for one in ids} == {"job_"}
    assert [one[:16] for one in ids] == sorted(one[:16] for one in ids)
