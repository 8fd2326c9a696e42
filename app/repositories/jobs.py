"""Jobs: reading them, and every move of their state.

Each move is one UPDATE that names the states it leaves, so a move made twice does nothing the
second time. Moves of a running attempt also name its token: a worker that lost its lease to
another one can write nothing more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, update
from sqlalchemy.orm import Session

from app.db import UtcDateTime, database_now, new_id
from app.errors import NotFoundError
from app.repositories.job_filters import JobFilter, conditions
from app.repositories.pages import Page, PageColumns, read_page
from app.tables import JobRow, JobState, JsonObject

TERMINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})

_PAGE = PageColumns(JobRow.id, JobRow.spec)
_NO_RESULT: Mapping[str, Any] = {
    "stage": None,
    "progress": 0.0,
    "verdict": None,
    "metrics": None,
    "error": None,
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
}
_NO_LEASE: Mapping[str, Any] = {"token": None, "lease_expires_at": None, "next_send_at": None}


@dataclass(frozen=True)
class NewJob:
    """What a submission says; `spec` has its defaults filled in."""

    workspace: str
    model_id: str
    spec: JsonObject
    calibration_dataset_id: str | None = None
    evaluation_dataset_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    sweep_id: str | None = None
    sweep_position: int | None = None


def add(session: Session, new_job: NewJob, *, resend_seconds: float) -> JobRow:
    """Add a queued job.

    The caller sends it after its commit. The reaper sends it again after `resend_seconds`, or as
    soon as it can where the caller, having failed, says so by `make_due`.
    """
    return add_all(session, [new_job], resend_seconds=resend_seconds)[0]


def add_all(
    session: Session, new_jobs: Sequence[NewJob], *, resend_seconds: float
) -> Sequence[JobRow]:
    """Add queued jobs at once; each is as `add` says."""
    now = database_now(session)
    rows = [
        JobRow(
            id=new_id("job"),
            **vars(new_job),
            state="queued",
            progress=0.0,
            attempt=0,
            crashes=0,
            sends=1,
            next_send_at=now + timedelta(seconds=resend_seconds),
            created_at=now,
            queued_at=now,
        )
        for new_job in new_jobs
    ]
    session.add_all(rows)
    session.flush()
    return rows


def find(session: Session, workspace: str, job_id: str) -> JobRow | None:
    """Return the workspace's job as the database has it now, or None."""
    query = select(JobRow).where(JobRow.id == job_id, JobRow.workspace == workspace)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def get(session: Session, workspace: str, job_id: str) -> JobRow:
    """Return the workspace's job.

    Raises:
        NotFoundError: there is no such job in the workspace.
    """
    row = find(session, workspace, job_id)
    if row is None:
        raise NotFoundError(f"no job {job_id!r}; `GET /v1/jobs` lists the jobs there are")
    return row


def list(  # noqa: A001 - the repositories' common verb, always called as `jobs.list`
    session: Session, workspace: str, which: JobFilter, cursor: str | None = None, limit: int = 50
) -> Page[JobRow]:
    """Return a page of the workspace's jobs, newest first."""
    query = select(JobRow).where(JobRow.workspace == workspace, *conditions(which))
    return read_page(session, query, _PAGE, cursor=cursor, limit=limit)


def unfinished_users(session: Session, upload_id: str, limit: int = 5) -> Sequence[str]:
    """Return ids of jobs that are not terminal and need this model or dataset."""
    columns = (JobRow.model_id, JobRow.calibration_dataset_id, JobRow.evaluation_dataset_id)
    needs_it = or_(*(column == upload_id for column in columns))
    query = select(JobRow.id).where(needs_it, JobRow.state.not_in(TERMINAL_STATES))
    return session.scalars(query.order_by(JobRow.id).limit(limit)).all()


def claim(
    session: Session, job_id: str, *, lease_seconds: float, max_attempts: int
) -> JobRow | None:
    """Move a queued job, or a running one whose lease lapsed, to running; None: not claimable.

    The returned row carries the new attempt's token.
    """
    now = database_now(session)
    values = {
        **_NO_RESULT,
        "state": "running",
        "token": uuid4().hex,
        "lease_expires_at": now + timedelta(seconds=lease_seconds),
        "attempt": JobRow.attempt + 1,
        "sends": 0,
        "next_send_at": None,
        "started_at": func.coalesce(JobRow.started_at, literal(now, UtcDateTime())),
    }
    claimable = or_(JobRow.state == "queued", _is_running_lapsed(now))
    return _move(session, values, JobRow.id == job_id, JobRow.attempt < max_attempts, claimable)


def heartbeat(
    session: Session,
    job_id: str,
    token: str,
    *,
    stage: str | None,
    progress: float,
    lease_seconds: float,
) -> JobState | None:
    """Extend the attempt's lease; return the job's state, or None when the attempt lost the job."""
    lease = database_now(session) + timedelta(seconds=lease_seconds)
    values = {"lease_expires_at": lease, "stage": stage, "progress": progress, "next_send_at": None}
    row = _move(session, values, *_held(job_id, token, "running", "cancelling"))
    return row.state if row else None


def finish(
    session: Session,
    job_id: str,
    token: str,
    *,
    verdict: JsonObject,
    metrics: JsonObject,
    retention: timedelta | None,
) -> bool:
    """Move a running job to succeeded; False when the attempt lost it or it is being cancelled.

    Add the artifacts in the same transaction, and only when this returns True.
    """
    values = _ending(database_now(session), "succeeded", retention)
    values |= {"verdict": verdict, "metrics": metrics, "stage": None, "progress": 1.0}
    return _move(session, values, *_held(job_id, token, "running")) is not None


def fail(
    session: Session, job_id: str, token: str, *, error: JsonObject, retention: timedelta | None
) -> bool:
    """Move a running job to failed; False when the attempt lost it or it is being cancelled."""
    values = _ending(database_now(session), "failed", retention) | {"error": error}
    return _move(session, values, *_held(job_id, token, "running")) is not None


def release(
    session: Session, job_id: str, token: str, *, crashed: bool, delay_seconds: float = 0.0
) -> bool:
    """Put a running job back in the queue after a crash of its child or a fault around it.

    The reaper sends it once `delay_seconds` have passed. False when the attempt lost the job or
    it is being cancelled.
    """
    now = database_now(session)
    values = {
        **_NO_RESULT,
        **_NO_LEASE,
        "state": "queued",
        "crashes": JobRow.crashes + int(crashed),
        "sends": 0,
        "next_send_at": now + timedelta(seconds=delay_seconds),
        "queued_at": now,
        "started_at": JobRow.started_at,
    }
    return _move(session, values, *_held(job_id, token, "running")) is not None


def cancel(
    session: Session, workspace: str, job_id: str, *, retention: timedelta | None
) -> JobRow | None:
    """Move a queued job to cancelled, a running one to cancelling; None in any other state."""
    one = (JobRow.workspace == workspace, JobRow.id == job_id)
    return next(iter(cancel_all(session, one, retention=retention)), None)


def cancel_all(
    session: Session, which: Sequence[ColumnElement[bool]], *, retention: timedelta | None
) -> Sequence[JobRow]:
    """Cancel, as `cancel` does, all jobs that a repository picks; return those that moved."""
    is_queued = JobRow.state == "queued"
    ending = _ending(database_now(session), "cancelled", retention)
    values = {
        name: case((is_queued, literal(value, column.type)), else_=column)
        for name, value in ending.items()
        for column in (getattr(JobRow, name),)
    }
    values["state"] = case((is_queued, "cancelled"), else_="cancelling")
    movable = in_one_order(*which, JobRow.state.in_(("queued", "running")))
    return _move_all(session, values, *movable)


def in_one_order(*conditions: ColumnElement[bool]) -> Sequence[ColumnElement[bool]]:
    """Return conditions under which an UPDATE locks all its jobs in the order of their ids.

    Two moves of many jobs, which find them by different indexes, then never wait for each other.
    The conditions stay beside, for what moved while it was waited for.
    """
    found = select(JobRow.id).where(*conditions).order_by(JobRow.id).with_for_update()
    return (JobRow.id.in_(found), *conditions)


def confirm_cancel(
    session: Session, job_id: str, token: str, *, retention: timedelta | None
) -> bool:
    """Move a cancelling job to cancelled, its child being gone; False when it was lost."""
    values = _ending(database_now(session), "cancelled", retention)
    return _move(session, values, *_held(job_id, token, "cancelling")) is not None


def retry(session: Session, workspace: str, job_id: str, *, resend_seconds: float) -> JobRow | None:
    """Queue a failed or cancelled job afresh, to be sent as in `add`; None in any other state."""
    one = (JobRow.workspace == workspace, JobRow.id == job_id)
    return next(iter(retry_all(session, one, resend_seconds=resend_seconds)), None)


def retry_all(
    session: Session, which: Sequence[ColumnElement[bool]], *, resend_seconds: float
) -> Sequence[JobRow]:
    """Retry, as `retry` does, all jobs that a repository picks; return those that moved."""
    now = database_now(session)
    values = {
        **_NO_RESULT,
        **_NO_LEASE,
        "state": "queued",
        "attempt": 0,
        "crashes": 0,
        "sends": 1,
        "next_send_at": now + timedelta(seconds=resend_seconds),
        "queued_at": now,
    }
    movable = in_one_order(*which, JobRow.state.in_(("failed", "cancelled")))
    return _move_all(session, values, *movable)


def _is_running_lapsed(now: datetime) -> ColumnElement[bool]:
    return and_(JobRow.state == "running", JobRow.lease_expires_at < now)


def _held(job_id: str, token: str, *states: JobState) -> Sequence[ColumnElement[bool]]:
    return (JobRow.id == job_id, JobRow.token == token, JobRow.state.in_(states))


def _ending(now: datetime, state: JobState, retention: timedelta | None) -> dict[str, Any]:
    expires_at = None if retention is None else now + retention
    return {**_NO_LEASE, "state": state, "finished_at": now, "expires_at": expires_at}


def _move(
    session: Session, values: Mapping[str, Any], *conditions: ColumnElement[bool]
) -> JobRow | None:
    return next(iter(_move_all(session, values, *conditions)), None)


def _move_all(
    session: Session, values: Mapping[str, Any], *conditions: ColumnElement[bool]
) -> Sequence[JobRow]:
    statement = update(JobRow).where(*conditions).values(dict(values)).returning(JobRow)
    options = {"synchronize_session": False, "populate_existing": True}
    return session.scalars(statement, execution_options=options).all()
