"""Tests of the idempotency keys, on both databases."""

from datetime import timedelta

import pytest

from app.repositories import idempotency, jobs, sweeps
from app.repositories.jobs import NewJob
from app.repositories.sweeps import NewSweep
from tests.conftest import both_databases

pytestmark = both_databases

DAY = timedelta(days=1)


@pytest.fixture
def job(session):
    return jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)


@pytest.fixture
def sweep(session):
    return sweeps.add(session, NewSweep("ours", "mdl_1", None, None, {}, None, []))


def reserve(session, key="key", workspace="ours", lifetime=DAY):
    return idempotency.reserve(session, workspace, key, request_sha256="aa", lifetime=lifetime)


def test_new_key_is_reserved(session):
    assert reserve(session) is None
    assert reserve(session, key="another") is None
    assert reserve(session, workspace="theirs") is None


def test_used_key_tells_of_a_request_that_still_runs(session):
    reserve(session)

    earlier = reserve(session)

    assert (earlier.request_sha256, earlier.job_id, earlier.sweep_id) == ("aa", None, None)


def test_used_key_tells_which_job_came_of_it(session, job):
    reserve(session)
    idempotency.complete(session, "ours", "key", job_id=job.id)

    assert reserve(session).job_id == job.id


def test_failed_reservation_spoils_nothing_else(session, job):
    reserve(session)
    reserve(session)

    assert jobs.get(session, "ours", job.id) is job


def test_old_key_can_be_used_again(session):
    reserve(session)

    assert reserve(session, lifetime=timedelta(0)) is None


def test_refused_request_frees_its_key(session):
    reserve(session)

    idempotency.release(session, "ours", "key")

    assert reserve(session) is None


def test_key_that_is_freed_while_another_asks_for_it_is_reserved(session, monkeypatch):
    def free_and_get(*arguments, **options):
        idempotency.release(session, "ours", "key")
        return get(*arguments, **options)

    reserve(session)
    get = session.get
    monkeypatch.setattr(session, "get", free_and_get)
    assert reserve(session) is None
    monkeypatch.undo()

    assert reserve(session) is not None


def test_key_of_a_job_is_not_freed(session, job):
    reserve(session)
    idempotency.complete(session, "ours", "key", job_id=job.id)

    idempotency.release(session, "ours", "key")

    assert reserve(session).job_id == job.id


def test_key_of_a_sweep_is_not_freed(session, sweep):
    reserve(session)
    idempotency.complete(session, "ours", "key", sweep_id=sweep.id)

    idempotency.release(session, "ours", "key")

    assert (reserve(session).job_id, reserve(session).sweep_id) == (None, sweep.id)


def test_old_keys_are_forgotten(session):
    reserve(session)

    idempotency.delete_older(session, DAY)
    assert reserve(session) is not None

    idempotency.delete_older(session, timedelta(0))
    assert reserve(session) is None
