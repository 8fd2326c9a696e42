from datetime import timedelta

import pytest
from sqlalchemy import update

from app.db import database_now
from app.errors import ConflictError, NotFoundError
from app.repositories import idempotency
from app.services import submitting
from app.tables import IdempotencyRow
from worker.engine.spec import Spec


def submission(model_id):
    spec = Spec.model_validate({"passes": [{"method": "dynamic_quantization"}]})
    return submitting.Submission(model_id, spec)


def reserve(context, workspace, wanted, age=timedelta(0)):
    """Leave a key as a call does that has begun and not ended."""
    with context.session_factory.begin() as session:
        idempotency.reserve(
            session,
            workspace,
            "key",
            request_sha256=wanted.fingerprint,
            lifetime=timedelta(hours=1),
        )
        session.execute(update(IdempotencyRow).values(created_at=database_now(session) - age))


def test_refuses_a_call_while_the_first_with_its_key_runs(context, workspace, model):
    wanted = submission(model["id"])
    reserve(context, workspace, wanted)

    with pytest.raises(ConflictError, match="still runs"):
        submitting.submit(context, workspace, wanted, "key")


def test_takes_over_a_key_whose_call_died(context, workspace, model):
    wanted = submission(model["id"])
    reserve(context, workspace, wanted, age=timedelta(minutes=16))

    outcome = submitting.submit(context, workspace, wanted, "key")

    assert not outcome.is_replay


def test_a_refused_call_leaves_its_key_free(context, workspace, model):
    with pytest.raises(NotFoundError):
        submitting.submit(context, workspace, submission("model_0"), "key")

    assert not submitting.submit(context, workspace, submission(model["id"]), "key").is_replay


def test_forgets_a_key_after_its_time(context, workspace, model):
    wanted = submission(model["id"])
    first = submitting.submit(context, workspace, wanted, "key")
    with context.session_factory.begin() as session:
        session.execute(
            update(IdempotencyRow).values(created_at=database_now(session) - timedelta(hours=25))
        )

    second = submitting.submit(context, workspace, wanted, "key")

    assert second.job.id != first.job.id


def test_the_same_key_in_two_workspaces_is_two_keys(context, workspace, client, stranger, model):
    submitting.submit(context, workspace, submission(model["id"]), "key")

    with pytest.raises(NotFoundError):
        submitting.submit(context, "another", submission(model["id"]), "key")
