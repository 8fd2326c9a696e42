import hashlib
from datetime import timedelta

import pytest

from app.db import database_now
from app.errors import ForbiddenError, UnauthorizedError
from app.repositories import keys as rows
from app.services import keys


def test_keeps_only_a_hash_of_the_secret(context):
    row, key = keys.create(context.session_factory, "ci", workspace="w")

    prefix, _, secret = key.partition(".")
    assert prefix == f"onnxpress_{row.id}"
    assert row.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(vars(row))


def test_tells_who_calls(context):
    _, key = keys.create(context.session_factory, "ci", workspace="w", scopes=["read"])

    caller = keys.authorize(context, key, "read")

    assert caller == keys.Caller("w", frozenset({"read"}))
    with pytest.raises(ForbiddenError):
        keys.authorize(context, key, "write")


def test_refuses_an_expired_key(context):
    with context.session_factory() as session:
        now = database_now(session)
    _, key = keys.create(context.session_factory, "ci", expires_at=now - timedelta(seconds=1))

    with pytest.raises(UnauthorizedError):
        keys.authorize(context, key, "read")


def test_notes_that_a_key_is_in_use(context):
    row, key = keys.create(context.session_factory, "ci")

    keys.authorize(context, key, "read")

    with context.session_factory() as session:
        assert rows.find_valid(session, row.id).last_used_at is not None
