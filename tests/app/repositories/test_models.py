"""Tests of the model repository, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.errors import NotFoundError
from app.repositories import models
from app.tables import ModelRow
from tests.conftest import both_databases

pytestmark = both_databases

NOW = datetime.now(UTC)


def add(session, number=1, workspace="ours", expires_at=None):
    row = ModelRow(
        id=f"mdl_{number}",
        workspace=workspace,
        name="model.onnx",
        sha256=f"{number:064}",
        size_bytes=100,
        storage_key=f"blobs/{number}",
        info={},
        created_at=NOW,
        expires_at=expires_at,
    )
    return models.add(session, row)


@pytest.mark.parametrize("get", [models.get, models.get_locked])
def test_gets_only_the_workspaces_own(session, get):
    row = add(session)

    assert get(session, "ours", "mdl_1") is row
    with pytest.raises(NotFoundError, match="mdl_1"):
        get(session, "theirs", "mdl_1")


def test_finds_the_same_bytes_in_the_same_workspace(session):
    row = add(session)

    assert models.find_by_sha256(session, "ours", row.sha256) is row
    assert models.find_by_sha256(session, "theirs", row.sha256) is None


def test_same_bytes_cannot_be_added_twice(session_factory):
    with session_factory.begin() as session:
        add(session)

    with session_factory() as session, pytest.raises(IntegrityError):
        add(session)


def test_lists_newest_first_in_pages(session):
    for number in range(1, 4):
        add(session, number)

    first = models.list(session, "ours", limit=2)
    second = models.list(session, "ours", first.next_cursor, limit=2)

    assert [row.id for row in first.items] == ["mdl_3", "mdl_2"]
    assert [row.id for row in second.items] == ["mdl_1"]
    assert second.next_cursor is None
    assert models.list(session, "theirs").items == []


def test_deleted_model_is_gone(session):
    models.delete(session, add(session))

    assert models.find(session, "ours", "mdl_1") is None


def test_expired_models_are_those_of_every_workspace(session):
    add(session, 1, "ours", NOW - timedelta(days=1))
    add(session, 2, "theirs", NOW - timedelta(days=2))
    add(session, 3, "ours", NOW + timedelta(days=1))
    add(session, 4, "ours")

    assert [row.id for row in models.expired(session)] == ["mdl_2", "mdl_1"]
