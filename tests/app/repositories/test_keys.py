"""Tests of the API key repository, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import NotFoundError
from app.repositories import keys
from app.tables import ApiKeyRow
from tests.conftest import both_databases

pytestmark = both_databases

NOW = datetime.now(UTC)


def add(session, key_id="k1", workspace="ours", expires_at=None):
    row = ApiKeyRow(
        id=key_id,
        workspace=workspace,
        name="laptop",
        secret_sha256="0" * 64,
        scopes="read write",
        created_at=NOW,
        expires_at=expires_at,
    )
    return keys.add(session, row)


@pytest.mark.parametrize("expires_at", [None, NOW + timedelta(days=1)])
def test_finds_a_valid_key(session, expires_at):
    row = add(session, expires_at=expires_at)

    assert keys.find_valid(session, "k1") is row


def test_expired_key_is_not_valid(session):
    add(session, expires_at=NOW - timedelta(seconds=1))

    assert keys.find_valid(session, "k1") is None


def test_unknown_key_is_not_valid(session):
    assert keys.find_valid(session, "k1") is None


def test_revoked_key_is_not_valid_and_keeps_its_time(session):
    add(session)
    revoked_at = keys.revoke(session, "k1").revoked_at

    assert keys.find_valid(session, "k1") is None
    assert keys.revoke(session, "k1").revoked_at == revoked_at


def test_unknown_key_cannot_be_revoked(session):
    with pytest.raises(NotFoundError, match="k1"):
        keys.revoke(session, "k1")


def test_use_is_noted_to_the_minute(session):
    row = add(session)

    keys.mark_used(session, "k1")
    session.refresh(row)
    first = row.last_used_at
    keys.mark_used(session, "k1")
    session.refresh(row)

    assert first is not None
    assert row.last_used_at == first
    assert keys.is_use_noted(session, row)


def test_a_use_long_ago_is_not_noted(session):
    row = add(session)
    never = keys.is_use_noted(session, row)
    row.last_used_at = NOW - timedelta(minutes=2)

    assert not never
    assert not keys.is_use_noted(session, row)


def test_lists_keys_of_one_workspace_or_all(session):
    ours, theirs = add(session, "k1"), add(session, "k2", "theirs")

    assert keys.list(session, "ours") == [ours]
    assert keys.list(session) == [ours, theirs]
