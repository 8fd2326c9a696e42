"""Tests of what the reaper asks of the jobs, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.db import database_now
from app.repositories import jobs, reaping
from app.repositories.jobs import NewJob
from app.tables import JobRow
from tests.conftest import both_databases

pytestmark = both_databases

ERROR = {"code": "worker_lost", "detail": "the worker was lost"}


def add(session, resend_seconds=30.0):
    return jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=resend_seconds)


def claim(session, job, lease_seconds=15.0):
    return jobs.claim(session, job.id, lease_seconds=lease_seconds, max_attempts=10)


def set_columns(session, job, **values):
    session.execute(update(JobRow).where(JobRow.id == job.id).values(**values))


def wait_of(session, job):
    """Seconds until the job is sent again."""
    session.refresh(job)
    return (job.next_send_at - database_now(session)).total_seconds()


def test_job_is_due_once_its_wait_is_over(session):
    add(session, resend_seconds=30)
    due = add(session, resend_seconds=-1)

    assert reaping.due_for_sending(session) == [due.id]


def test_job_that_waited_longest_is_sent_first(session):
    rows = [add(session, resend_seconds=-1) for _ in range(3)]
    set_columns(session, rows[1], queued_at=database_now(session) - timedelta(hours=1))

    assert reaping.due_for_sending(session, limit=1) == [rows[1].id]


def test_running_job_is_due_when_its_lease_lapsed(session):
    held, lapsed = add(session), add(session)
    claim(session, held)
    claim(session, lapsed, lease_seconds=-1)

    assert reaping.due_for_sending(session) == [lapsed.id]


def test_lapsed_job_is_not_sent_at_every_look(session):
    job = add(session)
    claim(session, job, lease_seconds=-1)

    assert reaping.mark_sent(session, job.id, resend_seconds=30)
    assert reaping.due_for_sending(session) == []


def test_wait_doubles_with_every_message_up_to_an_hour(session):
    job = add(session, resend_seconds=30)
    waits = []

    for _ in range(8):
        reaping.mark_sent(session, job.id, resend_seconds=30)
        waits.append(wait_of(session, job))

    assert waits == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, 3600], abs=5)


def test_claimed_job_is_not_marked_sent(session):
    job = add(session)
    claim(session, job)

    assert not reaping.mark_sent(session, job.id, resend_seconds=30)
    session.refresh(job)
    assert (job.sends, job.next_send_at) == (0, None)


def test_job_whose_message_failed_is_due_at_once(session):
    job, other = add(session), add(session)

    assert reaping.make_due(session, [job.id]) == 1
    assert reaping.due_for_sending(session) == [job.id]
    assert wait_of(session, other) > 20


def test_all_queued_jobs_are_due_after_a_broker_lost_them(session):
    waiting, running = add(session), add(session)
    claim(session, running)

    assert reaping.make_due(session) == 1
    assert reaping.due_for_sending(session) == [waiting.id]


def test_fails_jobs_without_attempts_left(session):
    lapsed, released, held, fresh = (add(session) for _ in range(4))
    claim(session, lapsed, lease_seconds=-1)
    jobs.release(session, released.id, claim(session, released).token, crashed=True)
    claim(session, held)

    failed = reaping.fail_exhausted(
        session, max_attempts=1, error=ERROR, retention=timedelta(days=1)
    )

    assert set(failed) == {lapsed.id, released.id}
    row = jobs.get(session, "ours", lapsed.id)
    assert (row.state, row.error, row.token) == ("failed", ERROR, None)
    assert row.expires_at - row.finished_at == timedelta(days=1)
    assert jobs.get(session, "ours", fresh.id).state == "queued"


def test_lapsed_job_with_attempts_left_is_not_failed(session):
    claim(session, add(session), lease_seconds=-1)

    assert not reaping.fail_exhausted(session, max_attempts=2, error=ERROR, retention=None)


def test_cancellation_is_honoured_after_the_worker_died(session):
    dead, alive = add(session), add(session)
    claim(session, dead, lease_seconds=-1)
    claim(session, alive)
    jobs.cancel(session, "ours", dead.id, retention=None)
    jobs.cancel(session, "ours", alive.id, retention=None)

    assert reaping.confirm_lapsed_cancels(session, retention=None) == [dead.id]
    assert jobs.get(session, "ours", dead.id).state == "cancelled"
    assert jobs.get(session, "ours", alive.id).state == "cancelling"


def test_only_ended_jobs_expire(session):
    ended, kept, queued = (add(session) for _ in range(3))
    jobs.cancel(session, "ours", ended.id, retention=timedelta(0))
    jobs.cancel(session, "ours", kept.id, retention=timedelta(days=1))

    assert reaping.expired(session) == [ended.id]
    assert reaping.delete_expired(session, ended.id)
    assert not reaping.delete_expired(session, kept.id)
    assert not reaping.delete_expired(session, queued.id)
    assert jobs.find(session, "ours", ended.id) is None


def test_retried_job_does_not_expire(session):
    job = add(session)
    jobs.cancel(session, "ours", job.id, retention=timedelta(0))
    jobs.retry(session, "ours", job.id, resend_seconds=30)

    assert not reaping.delete_expired(session, job.id)


def test_counts_jobs_by_state(session):
    rows = [add(session) for _ in range(3)]
    claim(session, rows[0])

    assert reaping.count_by_state(session) == {"queued": 2, "running": 1}


def test_tells_how_long_the_oldest_job_waits(session):
    job = add(session)
    add(session)
    set_columns(session, job, queued_at=database_now(session) - timedelta(seconds=90))

    assert reaping.oldest_queued_age_seconds(session) == pytest.approx(90, abs=5)


def test_empty_queue_has_no_age(session):
    assert reaping.oldest_queued_age_seconds(session) == 0
