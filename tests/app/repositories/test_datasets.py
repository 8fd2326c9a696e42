"""Tests of the dataset repository, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from app.errors import NotFoundError
from app.repositories import datasets
from app.tables import DatasetRow
from tests.conftest import both_databases

pytestmark = both_databases

NOW = datetime.now(UTC)
SHA256 = "0" * 64


def add(session, number=1, transform_sha256="", expires_at=None):
    row = DatasetRow(
        id=f"dst_{number}",
        workspace="ours",
        name="images.zip",
        sha256=SHA256,
        transform_sha256=transform_sha256,
        transform=None,
        size_bytes=100,
        storage_key="blobs/1",
        info={},
        created_at=NOW,
        expires_at=expires_at,
    )
    return datasets.add(session, row)


@pytest.mark.parametrize("get", [datasets.get, datasets.get_locked])
def test_gets_only_the_workspaces_own(session, get):
    row = add(session)

    assert get(session, "ours", "dst_1") is row
    with pytest.raises(NotFoundError, match="dst_1"):
        get(session, "theirs", "dst_1")


def test_same_bytes_with_another_transform_are_another_dataset(session):
    plain = add(session, 1)
    scaled = add(session, 2, "1" * 64)

    assert datasets.find_by_sha256(session, "ours", SHA256) is plain
    assert datasets.find_by_sha256(session, "ours", SHA256, "1" * 64) is scaled
    assert datasets.find_by_sha256(session, "ours", SHA256, "2" * 64) is None


def test_same_bytes_with_the_same_transform_cannot_be_added_twice(session_factory):
    with session_factory.begin() as session:
        add(session, 1)

    with session_factory() as session, pytest.raises(IntegrityError):
        add(session, 2)


def test_lists_and_deletes(session):
    add(session, 1)
    newest = add(session, 2, "1" * 64)

    datasets.delete(session, newest)

    page = datasets.list(session, "ours", limit=1)
    assert [row.id for row in page.items] == ["dst_1"]
    assert page.next_cursor is None


def test_tells_which_are_expired(session):
    add(session, 1, "1", NOW - timedelta(days=1))
    add(session, 2, "2", NOW + timedelta(days=1))

    assert [row.id for row in datasets.expired(session)] == ["dst_1"]
