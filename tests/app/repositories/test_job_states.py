"""All moves of jobs in any order, against a plain model of what must hold."""

from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, update

from app.db import database_now
from app.repositories import jobs, reaping
from app.repositories.job_filters import JobFilter
from app.repositories.jobs import TERMINAL_STATES, NewJob
from app.tables import JobRow
from tests.conftest import both_databases

MAX_ATTEMPTS = 3
WORKSPACE = "ours"
HELD = ("running", "cancelling")
WORKER_WRITES = ("heartbeat", "finish", "fail", "release", "confirm_cancel")
ATTEMPTS_AGO = st.sampled_from([0, 0, 0, 1, 2])
"""Which attempt of a job writes: mostly the last one, sometimes one that was thought dead."""


class JobMachine(RuleBasedStateMachine):
    """Two jobs, with workers, users and reapers at work on them.

    The state each must be in is kept beside the database and compared after every step. Few rules
    with choices inside: Hypothesis leaves rules out at random, and most moves need several others.
    """

    the_jobs = Bundle("the_jobs")

    def __init__(self, session_factory):
        super().__init__()
        self.sessions = session_factory
        self.states = {}
        self.tokens = {}
        self.attempts = {}
        self.lapsed = set()
        self.finishes = []
        self.asked_to_cancel = set()
        with self.sessions.begin() as session:
            session.execute(delete(JobRow))

    @initialize(target=the_jobs)
    def submit(self):
        return self.add_job()

    @rule(target=the_jobs)
    @precondition(lambda self: len(self.states) < 2)
    def submit_another(self):
        return self.add_job()

    @rule(job_id=the_jobs)
    def claim(self, job_id):
        state = self.states[job_id]
        is_free = state == "queued" or (state == "running" and job_id in self.lapsed)
        with self.sessions.begin() as session:
            job = jobs.claim(session, job_id, lease_seconds=600, max_attempts=MAX_ATTEMPTS)

        assert (job is not None) == (is_free and self.attempts[job_id] < MAX_ATTEMPTS)
        if job is not None:
            assert job.token not in self.tokens[job_id]
            self.states[job_id] = "running"
            self.attempts[job_id] += 1
            self.tokens[job_id].append(job.token)
            self.lapsed.discard(job_id)

    @rule(job_id=the_jobs, ago=ATTEMPTS_AGO, write=st.sampled_from(WORKER_WRITES))
    def worker_writes(self, job_id, ago, write):
        getattr(self, write)(job_id, ago)

    @rule(job_id=the_jobs, ask=st.sampled_from(["cancel", "retry"]))
    def user_asks(self, job_id, ask):
        getattr(self, ask)(job_id)

    def heartbeat(self, job_id, ago):
        token = self.token(job_id, ago)
        with self.sessions.begin() as session:
            state = jobs.heartbeat(
                session, job_id, token, stage="compressing", progress=0.5, lease_seconds=600
            )

        assert state == (self.states[job_id] if self.is_held(job_id, ago, HELD) else None)
        if state is not None:
            self.lapsed.discard(job_id)

    def finish(self, job_id, ago):
        token = self.token(job_id, ago)
        with self.sessions.begin() as session:
            is_done = jobs.finish(session, job_id, token, verdict={}, metrics={}, retention=None)

        assert is_done == self.is_held(job_id, ago, ("running",))
        if is_done:
            self.finishes.append(job_id)
            self.states[job_id] = "succeeded"

    def fail(self, job_id, ago):
        token = self.token(job_id, ago)
        with self.sessions.begin() as session:
            is_done = jobs.fail(session, job_id, token, error={"code": "x"}, retention=None)

        assert is_done == self.is_held(job_id, ago, ("running",))
        if is_done:
            self.states[job_id] = "failed"

    def release(self, job_id, ago):
        token = self.token(job_id, ago)
        with self.sessions.begin() as session:
            is_done = jobs.release(session, job_id, token, crashed=True)

        assert is_done == self.is_held(job_id, ago, ("running",))
        if is_done:
            self.states[job_id] = "queued"

    def cancel(self, job_id):
        before = self.states[job_id]
        with self.sessions.begin() as session:
            job = jobs.cancel(session, WORKSPACE, job_id, retention=None)

        after = {"queued": "cancelled", "running": "cancelling"}.get(before)
        assert (job.state if job else None) == after
        if after is not None:
            self.states[job_id] = after
            self.asked_to_cancel.add(job_id)

    def confirm_cancel(self, job_id, ago):
        token = self.token(job_id, ago)
        with self.sessions.begin() as session:
            is_done = jobs.confirm_cancel(session, job_id, token, retention=None)

        assert is_done == self.is_held(job_id, ago, ("cancelling",))
        if is_done:
            self.states[job_id] = "cancelled"

    def retry(self, job_id):
        with self.sessions.begin() as session:
            job = jobs.retry(session, WORKSPACE, job_id, resend_seconds=0)

        assert (job is not None) == (self.states[job_id] in {"failed", "cancelled"})
        if job is not None:
            self.states[job_id] = "queued"
            self.attempts[job_id] = 0
            self.asked_to_cancel.discard(job_id)

    @rule(job_id=the_jobs)
    def lose_the_worker(self, job_id):
        if self.states[job_id] not in HELD:
            return
        with self.sessions.begin() as session:
            past = database_now(session) - timedelta(seconds=1)
            lapse = update(JobRow).where(JobRow.id == job_id).values(lease_expires_at=past)
            session.execute(lapse)
        self.lapsed.add(job_id)

    @rule()
    def reap(self):
        with self.sessions.begin() as session:
            failed = reaping.fail_exhausted(
                session, max_attempts=MAX_ATTEMPTS, error={"code": "x"}, retention=None
            )
            cancelled = reaping.confirm_lapsed_cancels(session, retention=None)
            due = reaping.due_for_sending(session)

        assert set(failed) == {
            job_id for job_id in self.waiting() if self.attempts[job_id] == MAX_ATTEMPTS
        }
        assert set(cancelled) == {
            job_id for job_id in self.lapsed if self.states[job_id] == "cancelling"
        }
        self.states |= dict.fromkeys(failed, "failed") | dict.fromkeys(cancelled, "cancelled")
        assert set(due) == self.waiting()

    @invariant()
    def database_is_as_expected(self):
        with self.sessions.begin() as session:
            rows = jobs.list(session, WORKSPACE, JobFilter()).items
        assert {row.id: row.state for row in rows} == self.states
        for row in rows:
            holder = self.token(row.id, 0) if row.state in HELD else None
            assert row.token == holder
            assert row.attempt == self.attempts[row.id]
            assert (row.finished_at is not None) == (row.state in TERMINAL_STATES)
            assert (row.error is not None) == (row.state == "failed")

    @invariant()
    def no_job_finishes_twice(self):
        assert len(self.finishes) == len(set(self.finishes))

    @invariant()
    def cancelled_jobs_do_not_run_on(self):
        assert all(
            self.states[job_id] in {"cancelling", "cancelled"} for job_id in self.asked_to_cancel
        )

    def add_job(self):
        with self.sessions.begin() as session:
            job = jobs.add(session, NewJob(WORKSPACE, "mdl_1", {}), resend_seconds=0)
        self.states[job.id] = "queued"
        self.tokens[job.id] = []
        self.attempts[job.id] = 0
        return job.id

    def token(self, job_id, ago):
        tokens = self.tokens[job_id]
        return tokens[-1 - ago] if ago < len(tokens) else "never a token"

    def is_held(self, job_id, ago, states):
        """Whether this attempt may write to the job."""
        return ago == 0 and self.states[job_id] in states

    def waiting(self):
        """Return the jobs that a worker should take: queued, or running without a worker."""
        lapsed = {job_id for job_id in self.lapsed if self.states[job_id] == "running"}
        return lapsed | {job_id for job_id, state in self.states.items() if state == "queued"}


@both_databases
def test_every_order_of_moves_keeps_the_promises(session_factory, database):
    examples = {"sqlite": 100, "postgresql": 30}[database]

    run_state_machine_as_test(
        lambda: JobMachine(session_factory),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # shrinking takes minutes: drop this line to find a cause
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
