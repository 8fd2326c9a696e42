"""Tests of the preflight repository, on both databases."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from app.repositories import models, preflights
from app.tables import ModelRow, PreflightRow
from tests.conftest import both_databases

pytestmark = both_databases

SHA256 = "1" * 64


def add_model(session, model_id, workspace):
    row = ModelRow(
        id=model_id,
        workspace=workspace,
        name="model.onnx",
        sha256=SHA256,
        size_bytes=1,
        storage_key="blobs/1",
        info={},
        created_at=datetime.now(UTC),
    )
    return models.add(session, row)


def test_finds_what_the_same_engine_answered(session):
    preflights.put(session, SHA256, "engine-1", {"size": 2**40})

    assert preflights.find(session, SHA256, "engine-1") == {"size": 2**40}
    assert preflights.find(session, SHA256, "engine-2") is None
    assert preflights.find(session, "2" * 64, "engine-1") is None


def test_a_new_answer_takes_the_place_of_older_ones(session):
    preflights.put(session, SHA256, "engine-1", {"size": 1})
    preflights.put(session, SHA256, "engine-2", {"size": 2})
    preflights.put(session, SHA256, "engine-2", {"size": 3})

    assert preflights.find(session, SHA256, "engine-1") is None
    assert preflights.find(session, SHA256, "engine-2") == {"size": 3}


def test_an_answer_goes_with_the_last_model_of_its_bytes(session):
    first, second = add_model(session, "m1", "ours"), add_model(session, "m2", "theirs")
    preflights.put(session, SHA256, "engine", {})

    models.delete(session, first)
    is_kept = preflights.find(session, SHA256, "engine") is not None
    models.delete(session, second)

    assert is_kept
    assert preflights.find(session, SHA256, "engine") is None


def test_there_is_one_answer_of_an_engine(session_factory):
    def row():
        return PreflightRow(
            model_sha256=SHA256, engine="engine", contents={}, created_at=datetime.now(UTC)
        )

    with session_factory.begin() as session:
        session.add(row())

    with pytest.raises(IntegrityError), session_factory.begin() as session:
        session.add(row())
