"""Tests of sweeps and of the moves of all their jobs, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import InvalidRequestError

from app.errors import NotFoundError
from app.repositories import idempotency, jobs, reaping, sweeps
from app.repositories.job_filters import JobFilter
from app.repositories.jobs import NewJob
from app.repositories.sweeps import NewSweep, StateCount
from tests.conftest import both_databases

pytestmark = both_databases

ERROR = {"code": "crashed", "detail": "the child crashed"}
DIFFERENCES = [{"/seed": 0}, {"/seed": 1}, {"/seed": 2}]


def add(session, workspace="ours", model_id="mdl_1", size=3):
    new_sweep = NewSweep(workspace, model_id, None, None, {}, {"minimize": "size"}, DIFFERENCES)
    sweep = sweeps.add(session, new_sweep)
    new_jobs = [
        NewJob(workspace, model_id, {"seed": seed}, sweep_id=sweep.id, sweep_position=seed)
        for seed in range(size)
    ]
    jobs.add_all(session, new_jobs, resend_seconds=30)
    return sweep


@pytest.fixture
def sweep(session):
    return add(session)


def claim(session, job):
    return jobs.claim(session, job.id, lease_seconds=15, max_attempts=10).token


def fail(session, job):
    jobs.fail(session, job.id, claim(session, job), error=ERROR, retention=None)


def finish(session, job):
    token = claim(session, job)
    jobs.finish(session, job.id, token, verdict={}, metrics={}, retention=timedelta(0))


def states(session, sweep):
    session.expire_all()
    return [job.state for job in sweeps.jobs_of(session, sweep.id)]


def test_jobs_come_in_the_order_of_their_specs(session, sweep):
    found = sweeps.jobs_of(session, sweep.id)

    assert [job.sweep_position for job in found] == [0, 1, 2]
    assert sweeps.get(session, "ours", sweep.id).differences == DIFFERENCES


def test_jobs_come_without_their_specs(session_factory):
    with session_factory.begin() as session:
        sweep = add(session)

    with session_factory() as session:
        (job, *_) = sweeps.jobs_of(session, sweep.id)
        with pytest.raises(InvalidRequestError, match="spec"):
            _ = job.spec


def test_sweep_of_another_workspace_is_not_found(session, sweep):
    for get in (sweeps.get, sweeps.get_locked):
        with pytest.raises(NotFoundError, match=sweep.id):
            get(session, "theirs", sweep.id)


def test_lists_a_workspaces_sweeps_newest_first(session):
    first, second = add(session), add(session, model_id="mdl_2")
    add(session, workspace="theirs")

    def ids(model_id=None, cursor=None, limit=50):
        page = sweeps.list(session, "ours", model_id, cursor, limit)
        return [row.id for row in page.items]

    assert sorted(ids()) == sorted([first.id, second.id])
    assert ids(model_id="mdl_2") == [second.id]
    assert ids(limit=1) == ids()[:1]
    assert ids(cursor=ids()[0]) == ids()[1:]


def test_counts_the_states_of_several_sweeps_at_once(session, sweep):
    other = add(session, size=1)
    first, second, _ = sweeps.jobs_of(session, sweep.id)
    token = claim(session, first)
    jobs.heartbeat(session, first.id, token, stage="x", progress=0.25, lease_seconds=15)
    finish(session, second)

    counts = sweeps.count_states(session, [sweep.id, other.id, "sweep_none"])

    assert counts == {
        sweep.id: {
            "queued": StateCount(1, 0.0),
            "running": StateCount(1, 0.25),
            "succeeded": StateCount(1, 1.0),
        },
        other.id: {"queued": StateCount(1, 0.0)},
        "sweep_none": {},
    }


def test_jobs_can_be_listed_by_their_sweep(session, sweep):
    add(session)

    page = jobs.list(session, "ours", JobFilter(sweep_id=sweep.id))

    assert {row.id for row in page.items} == {job.id for job in sweeps.jobs_of(session, sweep.id)}


def test_cancels_what_has_not_ended(session, sweep):
    other = add(session)
    first, second, _ = sweeps.jobs_of(session, sweep.id)
    finish(session, first)
    claim(session, second)

    moved = sweeps.cancel_jobs(session, sweep, retention=None)

    assert len(moved) == 2
    assert states(session, sweep) == ["succeeded", "cancelling", "cancelled"]
    assert states(session, other) == ["queued"] * 3
    assert not sweeps.cancel_jobs(session, sweep, retention=None)


def test_retries_what_failed_or_was_cancelled(session, sweep):
    first, second, third = sweeps.jobs_of(session, sweep.id)
    finish(session, first)
    fail(session, second)
    jobs.cancel(session, "ours", third.id, retention=None)

    moved = sweeps.retry_jobs(session, sweep, resend_seconds=30)

    assert {job.id for job in moved} == {second.id, third.id}
    assert states(session, sweep) == ["succeeded", "queued", "queued"]


def test_goes_with_the_last_of_its_jobs(session):
    sweep, kept = add(session, size=1), add(session)
    idempotency.reserve(session, "ours", "key", request_sha256="a", lifetime=timedelta(days=1))
    idempotency.complete(session, "ours", "key", sweep_id=sweep.id)
    (job,) = sweeps.jobs_of(session, sweep.id)
    assert sweeps.delete_empty(session) == []
    finish(session, job)

    reaping.delete_expired(session, job.id)

    assert sweeps.delete_empty(session) == [sweep.id]
    assert sweeps.get(session, "ours", kept.id)
    again = idempotency.reserve(
        session, "ours", "key", request_sha256="b", lifetime=timedelta(days=1)
    )
    assert again is None
