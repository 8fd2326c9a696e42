"""Tests of the moves of a job's state, each on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.errors import NotFoundError
from app.repositories import artifacts, jobs
from app.repositories.job_filters import JobFilter
from app.repositories.jobs import NewJob
from app.tables import ArtifactRow, JobRow
from tests.conftest import both_databases

pytestmark = both_databases

ERROR = {"code": "invalid_model", "detail": "no graph output; export the model again"}


@pytest.fixture
def job(session):
    new_job = NewJob("ours", "mdl_1", {"passes": []}, "dst_1", "dst_2", {"team": "vision"})
    return jobs.add(session, new_job, resend_seconds=30)


def claim(session, job, lease_seconds=15.0, max_attempts=10):
    return jobs.claim(session, job.id, lease_seconds=lease_seconds, max_attempts=max_attempts)


def finish(session, job, token):
    return jobs.finish(session, job.id, token, verdict={"passed": True}, metrics={}, retention=None)


def fail(session, job, token):
    return jobs.fail(session, job.id, token, error=ERROR, retention=None)


def beat(session, job, token):
    return jobs.heartbeat(
        session, job.id, token, stage="calibrating", progress=0.5, lease_seconds=15
    )


def test_added_job_is_queued(session, job):
    found = jobs.get(session, "ours", job.id)

    assert (found.state, found.attempt, found.progress) == ("queued", 0, 0.0)
    assert found.next_send_at - found.created_at == timedelta(seconds=30)
    assert found.labels == {"team": "vision"}


def test_job_of_another_workspace_is_not_found(session, job):
    assert jobs.find(session, "theirs", job.id) is None
    with pytest.raises(NotFoundError, match=job.id):
        jobs.get(session, "theirs", job.id)


def test_claim_starts_an_attempt_with_its_own_token(session, job):
    claimed = claim(session, job)

    assert (claimed.state, claimed.attempt) == ("running", 1)
    assert claimed.token
    assert claimed.started_at >= claimed.created_at


def test_running_job_is_not_claimed_while_its_lease_holds(session, job):
    claim(session, job)

    assert claim(session, job) is None


def test_lapsed_job_is_claimed_with_a_new_token(session, job):
    first = claim(session, job, lease_seconds=-1)
    first_token, started_at = first.token, first.started_at

    second = claim(session, job)

    assert second.attempt == 2
    assert second.token != first_token
    assert second.started_at == started_at


def test_job_without_attempts_left_is_not_claimed(session, job):
    claim(session, job, lease_seconds=-1, max_attempts=1)

    assert claim(session, job, max_attempts=1) is None


def test_cancelling_job_is_not_claimed_though_its_lease_lapsed(session, job):
    claim(session, job, lease_seconds=-1)
    jobs.cancel(session, "ours", job.id, retention=None)

    assert claim(session, job) is None


def test_unknown_job_is_not_claimed(session):
    assert jobs.claim(session, "job_none", lease_seconds=15, max_attempts=10) is None


def test_heartbeat_extends_the_lease_and_stores_progress(session, job):
    token = claim(session, job, lease_seconds=-1).token

    state = beat(session, job, token)

    assert state == "running"
    assert (job.stage, job.progress) == ("calibrating", 0.5)
    assert claim(session, job) is None


def test_heartbeat_tells_of_a_cancellation(session, job):
    token = claim(session, job).token
    jobs.cancel(session, "ours", job.id, retention=None)

    assert beat(session, job, token) == "cancelling"


@pytest.mark.parametrize("write", [finish, fail, beat])
def test_attempt_that_lost_its_job_writes_nothing(session, job, write):
    stale_token = claim(session, job, lease_seconds=-1).token
    claim(session, job)

    assert not write(session, job, stale_token)

    assert jobs.get(session, "ours", job.id).state == "running"
    assert job.stage is None


def test_finished_job_has_its_results_and_an_end(session, job):
    token = claim(session, job).token

    is_finished = jobs.finish(
        session,
        job.id,
        token,
        verdict={"passed": False},
        metrics={"size_ratio": 0.26},
        retention=timedelta(days=7),
    )

    assert is_finished
    assert (job.state, job.progress, job.token) == ("succeeded", 1.0, None)
    assert (job.verdict, job.metrics) == ({"passed": False}, {"size_ratio": 0.26})
    assert job.expires_at - job.finished_at == timedelta(days=7)


@pytest.mark.parametrize("write", [finish, fail])
def test_job_ends_once(session, job, write):
    token = claim(session, job).token
    finish(session, job, token)

    assert not write(session, job, token)
    assert job.state == "succeeded"


@pytest.mark.parametrize("write", [finish, fail])
def test_job_being_cancelled_neither_finishes_nor_fails(session, job, write):
    token = claim(session, job).token
    jobs.cancel(session, "ours", job.id, retention=None)

    assert not write(session, job, token)
    assert jobs.confirm_cancel(session, job.id, token, retention=None)
    assert job.state == "cancelled"


def test_failed_job_tells_why(session, job):
    token = claim(session, job).token

    assert fail(session, job, token)
    assert (job.state, job.error) == ("failed", ERROR)


def test_released_job_is_queued_again_and_counts_the_crash(session, job):
    token = claim(session, job).token

    assert jobs.release(session, job.id, token, crashed=True, delay_seconds=5)

    assert (job.state, job.attempt, job.crashes) == ("queued", 1, 1)
    assert job.next_send_at - job.queued_at == timedelta(seconds=5)
    assert claim(session, job).attempt == 2


def test_cancelled_queued_job_ends_at_once(session, job):
    cancelled = jobs.cancel(session, "ours", job.id, retention=timedelta(days=1))

    assert cancelled.state == "cancelled"
    assert cancelled.expires_at - cancelled.finished_at == timedelta(days=1)


def test_cancelled_running_job_keeps_its_lease_until_confirmed(session, job):
    token = claim(session, job).token

    cancelling = jobs.cancel(session, "ours", job.id, retention=timedelta(days=1))

    assert (cancelling.state, cancelling.token) == ("cancelling", token)
    assert cancelling.lease_expires_at is not None
    assert cancelling.finished_at is cancelling.expires_at is None


def test_job_of_another_workspace_is_not_cancelled(session, job):
    assert jobs.cancel(session, "theirs", job.id, retention=None) is None


def test_ended_job_is_not_cancelled(session, job):
    fail(session, job, claim(session, job).token)

    assert jobs.cancel(session, "ours", job.id, retention=None) is None
    assert job.state == "failed"


def test_retried_job_starts_afresh(session, job):
    fail(session, job, claim(session, job).token)

    retried = jobs.retry(session, "ours", job.id, resend_seconds=30)

    assert (retried.state, retried.attempt, retried.error) == ("queued", 0, None)
    assert retried.started_at is retried.finished_at is None


@pytest.mark.parametrize("end", [lambda *_: None, finish])
def test_only_failed_and_cancelled_jobs_are_retried(session, job, end):
    end(session, job, claim(session, job).token)

    assert jobs.retry(session, "ours", job.id, resend_seconds=30) is None


def test_lists_newest_first_in_pages(session, job):
    rows = [
        job,
        *(jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30) for _ in range(4)),
    ]
    newest_first = sorted((row.id for row in rows), reverse=True)

    first = jobs.list(session, "ours", JobFilter(), limit=2)
    second = jobs.list(session, "ours", JobFilter(), first.next_cursor, limit=2)
    third = jobs.list(session, "ours", JobFilter(), second.next_cursor, limit=2)

    pages = [[row.id for row in page.items] for page in (first, second, third)]
    assert pages == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert third.next_cursor is None


def test_full_last_page_has_no_cursor(session, job):
    assert jobs.list(session, "ours", JobFilter(), limit=1).next_cursor is None


@pytest.mark.parametrize(
    ("which", "is_listed"),
    [
        (JobFilter(state="queued"), True),
        (JobFilter(state="failed"), False),
        (JobFilter(model_id="mdl_1"), True),
        (JobFilter(model_id="mdl_2"), False),
        (JobFilter(label=("team", "vision")), True),
        (JobFilter(label=("team", "speech")), False),
        (JobFilter(label=("owner", "vision")), False),
        (JobFilter(label=("te'am\"\\.$[0]", "%")), False),
        (JobFilter(created_after=datetime(2020, 1, 1, tzinfo=UTC)), True),
        (JobFilter(created_after=datetime(2999, 1, 1, tzinfo=UTC)), False),
    ],
)
def test_lists_by(session, job, which, is_listed):
    assert bool(jobs.list(session, "ours", which).items) == is_listed


def test_other_workspaces_see_nothing(session, job):
    assert not jobs.list(session, "theirs", JobFilter()).items


def test_unfinished_job_uses_its_model_and_datasets(session, job):
    assert jobs.unfinished_users(session, "mdl_1") == [job.id]
    assert jobs.unfinished_users(session, "dst_1") == [job.id]
    assert jobs.unfinished_users(session, "dst_2") == [job.id]
    assert not jobs.unfinished_users(session, "mdl_2")


def test_finished_job_uses_nothing(session, job):
    jobs.cancel(session, "ours", job.id, retention=None)

    assert not jobs.unfinished_users(session, "mdl_1")


def test_of_many_workers_one_claims(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)

    def claim_it(_):
        with session_factory.begin() as session:
            return claim(session, job) is not None

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(claim_it, range(16)))

    assert claims.count(True) == 1


def test_move_that_is_rolled_back_did_not_happen(session_factory):
    with session_factory.begin() as session:
        job = jobs.add(session, NewJob("ours", "mdl_1", {}), resend_seconds=30)
        token = claim(session, job).token

    with session_factory() as session:
        finish(session, job, token)
        artifacts.add(
            session,
            ArtifactRow(
                job_id=job.id,
                kind="model",
                file_name="model.onnx",
                sha256="0" * 64,
                size_bytes=1,
                storage_key="key",
                created_at=datetime.now(UTC),
            ),
        )

    with session_factory.begin() as session:
        assert session.get_one(JobRow, job.id).state == "running"
        assert artifacts.find(session, job.id, "model") is None
