"""All moves of jobs in any order, against a plain model of what must hold."""

from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, update

from app.db import database_now
from app.repositories import jobs, sweeping
from app.repositories.jobs import TERMINAL_STATES, NewJob
from app.tables import JobRow
from tests.conftest import both_databases

MAX_ATTEMPTS = 3
WORKSPACE = "ours"


class JobMachine(RuleBasedStateMachine):
    """Workers, users and sweeps at work; `running` holds the attempts there ever were.

    The expected state of each job, and the token that may write to it, are kept beside the
    database and compared with it after every step.
    """

    jobs = Bundle("jobs")
    attempts = Bundle("attempts")

    def __init__(self, session_factory):
        super().__init__()
        self.sessions = session_factory
        self.states = {}
        self.tokens = {}
        self.lapsed = set()
        self.cancel_asked = set()
        self.finishes = {}
        with self.sessions.begin() as session:
            session.execute(delete(JobRow))

    @rule(target=jobs)
    def submit(self):
        with self.sessions.begin() as session:
            job = jobs.add(session, NewJob(WORKSPACE, "mdl_1", {}), resend_seconds=0)
        self.states[job.id] = "queued"
        self.finishes[job.id] = 0
        return job.id

    @rule(target=attempts, job_id=jobs)
    def claim(self, job_id):
        before = self.states[job_id]
        is_free = before == "queued" or (before == "running" and job_id in self.lapsed)
        with self.sessions.begin() as session:
            job = jobs.claim(session, job_id, lease_seconds=600, max_attempts=MAX_ATTEMPTS)
        if job is None:
            assert not is_free or self.attempt(job_id) >= MAX_ATTEMPTS
            return multiple()
        assert is_free
        assert job.attempt <= MAX_ATTEMPTS
        assert job.token not in self.tokens.values()
        self.states[job_id] = "running"
        self.tokens[job_id] = job.token
        self.lapsed.discard(job_id)
        return (job_id, job.token)

    @rule(attempt=attempts)
    def heartbeat(self, attempt):
        job_id, token = attempt
        with self.sessions.begin() as session:
            state = jobs.heartbeat(
                session, job_id, token, stage="compressing", progress=0.5, lease_seconds=600
            )
        assert state == (self.states[job_id] if self.holds(attempt) else None)
        if state is not None:
            self.lapsed.discard(job_id)

    @rule(attempt=attempts)
    def finish(self, attempt):
        with self.sessions.begin() as session:
            is_finished = jobs.finish(
                session, *attempt, verdict={}, metrics={}, retention=timedelta(days=1)
            )
        assert is_finished == self.holds(attempt, "running")
        if is_finished:
            self.finishes[attempt[0]] += 1
            self.end(attempt[0], "succeeded")

    @rule(attempt=attempts)
    def fail(self, attempt):
        with self.sessions.begin() as session:
            is_failed = jobs.fail(session, *attempt, error={"code": "x"}, retention=None)
        assert is_failed == self.holds(attempt, "running")
        if is_failed:
            self.end(attempt[0], "failed")

    @rule(attempt=attempts, crashed=st.booleans())
    def release(self, attempt, crashed):
        with self.sessions.begin() as session:
            is_released = jobs.release(session, *attempt, crashed=crashed)
        assert is_released == self.holds(attempt, "running")
        if is_released:
            self.end(attempt[0], "queued")

    @rule(job_id=jobs)
    def cancel(self, job_id):
        before = self.states[job_id]
        with self.sessions.begin() as session:
            job = jobs.cancel(session, WORKSPACE, job_id, retention=None)
        assert (job is not None) == (before in {"queued", "running"})
        if before == "queued":
            self.end(job_id, "cancelled")
        elif before == "running":
            self.states[job_id] = "cancelling"
            self.cancel_asked.add(job_id)

    @rule(attempt=attempts)
    def confirm_cancel(self, attempt):
        with self.sessions.begin() as session:
            is_cancelled = jobs.confirm_cancel(session, *attempt, retention=None)
        assert is_cancelled == self.holds(attempt, "cancelling")
        if is_cancelled:
            self.end(attempt[0], "cancelled")

    @rule(job_id=jobs)
    def retry(self, job_id):
        before = self.states[job_id]
        with self.sessions.begin() as session:
            job = jobs.retry(session, WORKSPACE, job_id, resend_seconds=0)
        assert (job is not None) == (before in {"failed", "cancelled"})
        if job is not None:
            self.states[job_id] = "queued"
            self.cancel_asked.discard(job_id)

    @rule(job_id=jobs)
    def lose_the_worker(self, job_id):
        if self.states[job_id] not in {"running", "cancelling"}:
            return
        with self.sessions.begin() as session:
            past = database_now(session) - timedelta(seconds=1)
            session.execute(update(JobRow).where(JobRow.id == job_id).values(lease_expires_at=past))
        self.lapsed.add(job_id)

    @rule()
    def sweep(self):
        before = dict(self.states)
        with self.sessions.begin() as session:
            failed = sweeping.fail_exhausted(
                session, max_attempts=MAX_ATTEMPTS, error={"code": "x"}, retention=None
            )
            cancelled = sweeping.confirm_lapsed_cancels(session, retention=None)
            due = sweeping.due_for_sending(session)
        for job_id in failed:
            assert before[job_id] == "queued" or job_id in self.lapsed
            assert self.attempt(job_id) == MAX_ATTEMPTS
            self.end(job_id, "failed")
        for job_id in cancelled:
            assert before[job_id] == "cancelling"
            self.end(job_id, "cancelled")
        waiting = {job_id for job_id, state in self.states.items() if state == "queued"}
        lapsed = {job_id for job_id in self.lapsed if self.states[job_id] == "running"}
        assert set(due) == waiting | lapsed

    @invariant()
    def database_is_as_expected(self):
        with self.sessions.begin() as session:
            rows = {job_id: jobs.get(session, WORKSPACE, job_id) for job_id in self.states}
        assert {job_id: row.state for job_id, row in rows.items()} == self.states
        for job_id, row in rows.items():
            assert (row.finished_at is not None) == (row.state in TERMINAL_STATES)
            assert row.token == (self.tokens.get(job_id) if row.state in HELD else None)
            assert (row.error is not None) == (row.state == "failed")

    @invariant()
    def no_job_finishes_twice(self):
        assert all(times <= 1 for times in self.finishes.values())

    @invariant()
    def asked_cancellations_are_kept(self):
        assert all(self.states[id_] in {"cancelling", "cancelled"} for id_ in self.cancel_asked)

    def attempt(self, job_id):
        with self.sessions.begin() as session:
            return jobs.get(session, WORKSPACE, job_id).attempt

    def holds(self, attempt, *states):
        """Whether the attempt is the one that may write to its job."""
        job_id, token = attempt
        return self.tokens.get(job_id) == token and self.states[job_id] in (states or HELD)

    def end(self, job_id, state):
        """Note that the attempt is over; the spent token stays known, and is worth nothing."""
        self.states[job_id] = state
        self.lapsed.discard(job_id)


HELD = ("running", "cancelling")


@both_databases
def test_every_order_of_moves_keeps_the_promises(session_factory, database):
    examples = {"sqlite": 60, "postgresql": 15}[database]

    run_state_machine_as_test(
        lambda: JobMachine(session_factory),
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
