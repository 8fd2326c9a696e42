"""What the reaper asks of the jobs: which to send, end or remove, and what to count."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.db import database_now
from app.repositories.jobs import TERMINAL_STATES, in_one_order
from app.tables import JobRow, JobState, JsonObject

LONGEST_RESEND_SECONDS = 3600.0


def due_for_sending(session: Session, limit: int = 100) -> Sequence[str]:
    """Return ids of queued jobs due to be sent (again), and of running ones whose lease lapsed."""
    now = database_now(session)
    is_queued = and_(JobRow.state == "queued", JobRow.next_send_at <= now)
    query = select(JobRow.id).where(or_(is_queued, _is_lapsed_and_due(now)))
    return session.scalars(query.order_by(JobRow.queued_at, JobRow.id).limit(limit)).all()


def mark_sent(session: Session, job_id: str, *, resend_seconds: float) -> bool:
    """Note a message sent by the reaper; the next is due after twice the wait, at most an hour.

    False when the job moved on meanwhile, or another reaper sent it too.
    """
    now = database_now(session)
    is_waiting = or_(JobRow.state == "queued", _is_lapsed_and_due(now))
    here = and_(JobRow.id == job_id, is_waiting)
    sends = session.scalar(select(JobRow.sends).where(here))
    if sends is None:
        return False
    wait = min(LONGEST_RESEND_SECONDS, resend_seconds * 2.0 ** min(sends, 32))
    statement = (
        update(JobRow)
        .where(here, JobRow.sends == sends)
        .values(sends=sends + 1, next_send_at=now + timedelta(seconds=wait))
        .returning(JobRow.id)
    )
    return session.scalar(statement, execution_options={"synchronize_session": False}) is not None


def make_due(session: Session, job_ids: Collection[str] | None = None) -> int:
    """Let the reaper send queued jobs whose messages failed; without ids, all that are queued.

    The latter is for a broker that came back and may have lost its messages.
    """
    conditions: Sequence[ColumnElement[bool]] = (JobRow.state == "queued",)
    if job_ids is not None:
        conditions = (*conditions, JobRow.id.in_(job_ids))
    statement = (
        update(JobRow)
        .where(*in_one_order(*conditions))
        .values(sends=0, next_send_at=database_now(session))
        .returning(JobRow.id)
    )
    options = {"synchronize_session": False}
    return len(session.scalars(statement, execution_options=options).all())


def fail_exhausted(
    session: Session, *, max_attempts: int, error: JsonObject, retention: timedelta | None
) -> Sequence[str]:
    """Fail the queued and lapsed jobs that have no attempt left; return their ids."""
    now = database_now(session)
    is_waiting = or_(JobRow.state == "queued", _is_lapsed(now, "running"))
    condition = and_(JobRow.attempt >= max_attempts, is_waiting)
    return _end(session, condition, "failed", now, error=error, retention=retention)


def confirm_lapsed_cancels(session: Session, *, retention: timedelta | None) -> Sequence[str]:
    """Move cancelling jobs whose worker is gone to cancelled; return their ids."""
    now = database_now(session)
    condition = _is_lapsed(now, "cancelling")
    return _end(session, condition, "cancelled", now, error=None, retention=retention)


def expired(session: Session, limit: int = 100) -> Sequence[str]:
    """Return ids of terminal jobs whose time is over."""
    query = select(JobRow.id).where(_is_expired(database_now(session)))
    return session.scalars(query.order_by(JobRow.expires_at).limit(limit)).all()


def delete_expired(session: Session, job_id: str) -> bool:
    """Delete a job and its artifact rows, if it is still expired."""
    statement = delete(JobRow).where(JobRow.id == job_id, _is_expired(database_now(session)))
    return session.scalar(statement.returning(JobRow.id)) is not None


def count_by_state(session: Session) -> Mapping[JobState, int]:
    """Return how many jobs are in each state that has any."""
    query = select(JobRow.state, func.count()).group_by(JobRow.state)
    return dict(session.execute(query).all())


def oldest_queued_age_seconds(session: Session) -> float:
    """Return how long the longest-waiting job has been queued; 0 with an empty queue."""
    oldest = session.scalar(select(func.min(JobRow.queued_at)).where(JobRow.state == "queued"))
    return (database_now(session) - oldest).total_seconds() if oldest else 0.0


def _is_lapsed(now: datetime, state: JobState) -> ColumnElement[bool]:
    return and_(JobRow.state == state, JobRow.lease_expires_at < now)


def _is_lapsed_and_due(now: datetime) -> ColumnElement[bool]:
    is_due = or_(JobRow.next_send_at.is_(None), JobRow.next_send_at <= now)
    return and_(_is_lapsed(now, "running"), is_due)


def _is_expired(now: datetime) -> ColumnElement[bool]:
    return and_(JobRow.state.in_(TERMINAL_STATES), JobRow.expires_at <= now)


def _end(
    session: Session,
    condition: ColumnElement[bool],
    state: JobState,
    now: datetime,
    *,
    error: JsonObject | None,
    retention: timedelta | None,
) -> Sequence[str]:
    statement = (
        update(JobRow)
        .where(*in_one_order(condition))
        .values(
            state=state,
            error=error,
            token=None,
            lease_expires_at=None,
            next_send_at=None,
            finished_at=now,
            expires_at=None if retention is None else now + retention,
        )
        .returning(JobRow.id)
    )
    return session.scalars(statement, execution_options={"synchronize_session": False}).all()
