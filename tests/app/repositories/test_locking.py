"""Tests of what moves of many jobs wait for; SQLite lets only one transaction write at a time."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import select, update

from app.repositories import jobs, reaping
from app.repositories.jobs import NewJob
from app.tables import JobRow
from tests.running_service import wait_for

OURS = (JobRow.sweep_id == "swp_1",)
IS_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("state", "move"),
    [
        ("queued", partial(jobs.cancel_all, which=OURS, retention=None)),
        ("cancelled", partial(jobs.retry_all, which=OURS, resend_seconds=30)),
        ("queued", reaping.make_due),
        ("queued", partial(reaping.fail_exhausted, max_attempts=0, error={}, retention=None)),
    ],
)
def test_moves_of_many_jobs_lock_them_in_the_order_of_their_ids(
    session_factory, postgres, state, move
):
    new_jobs = [NewJob("ours", "mdl_1", {}, sweep_id="swp_1")] * 2
    with session_factory.begin() as session:
        added = jobs.add_all(session, new_jobs, resend_seconds=30)
        first, second = sorted(job.id for job in added)
    for job_id in (second, first):  # PostgreSQL now finds the second before the first
        for passing in ("running", state):
            with session_factory.begin() as session:
                session.execute(update(JobRow).where(JobRow.id == job_id).values(state=passing))

    def move_all():
        with session_factory.begin() as session:
            move(session)

    with ThreadPoolExecutor(1) as pool, session_factory.begin() as session:
        session.execute(select(JobRow.id).where(JobRow.id == first).with_for_update())
        waiting = pool.submit(move_all)
        with postgres.connect() as connection:
            wait_for(lambda: connection.execute(IS_WAITING).fetchone() == (1,))
        free = select(JobRow.id).where(JobRow.id == second).with_for_update(nowait=True)
        assert session.scalar(free) == second
        session.rollback()
        waiting.result()
