"""Sweeps: adding and reading them, and moving all their jobs at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, delete, func, select
from sqlalchemy.orm import Session, defer

from app.db import database_now, new_id
from app.errors import NotFoundError
from app.repositories import jobs
from app.repositories.pages import Page, PageColumns, read_page
from app.tables import JobRow, JobState, JsonObject, SweepRow

_PAGE = PageColumns(SweepRow.id, SweepRow.differences)


@dataclass(frozen=True)
class NewSweep:
    """What the jobs of a sweep share, and for each where its spec is unlike the others'."""

    workspace: str
    model_id: str
    calibration_dataset_id: str | None
    evaluation_dataset_id: str | None
    labels: dict[str, str]
    best_by: JsonObject | None
    differences: list[JsonObject]


@dataclass(frozen=True)
class StateCount:
    """How many jobs of a sweep are in one state, and what their progress adds up to."""

    jobs: int
    progress: float


StateCounts = Mapping[JobState, StateCount]


def add(session: Session, new_sweep: NewSweep) -> SweepRow:
    """Add a sweep; add its jobs in the same transaction, or it may be taken for an expired one."""
    row = SweepRow(id=new_id("sweep"), created_at=database_now(session), **vars(new_sweep))
    session.add(row)
    session.flush()
    return row


def get(session: Session, workspace: str, sweep_id: str) -> SweepRow:
    """Return the workspace's sweep.

    Raises:
        NotFoundError: there is no such sweep in the workspace.
    """
    return _get(session, select(SweepRow), workspace, sweep_id)


def get_locked(session: Session, workspace: str, sweep_id: str) -> SweepRow:
    """Return the sweep as `get` does, and let no other move of all its jobs begin meanwhile."""
    return _get(session, select(SweepRow).with_for_update(), workspace, sweep_id)


def list(  # noqa: A001 - the repositories' common verb, always called as `sweeps.list`
    session: Session, workspace: str, model_id: str | None, cursor: str | None, limit: int
) -> Page[SweepRow]:
    """Return a page of the workspace's sweeps, of one model where it is named, newest first."""
    query = select(SweepRow).where(SweepRow.workspace == workspace)
    if model_id is not None:
        query = query.where(SweepRow.model_id == model_id)
    return read_page(session, query, _PAGE, cursor=cursor, limit=limit)


def count_states(session: Session, sweep_ids: Sequence[str]) -> Mapping[str, StateCounts]:
    """Return how the jobs of each of these sweeps stand, in one query."""
    query = (
        select(SweepRow.id, JobRow.state, func.count(), func.sum(JobRow.progress))
        .join(JobRow, JobRow.sweep_id == SweepRow.id)
        .where(SweepRow.id.in_(sweep_ids))
        .group_by(SweepRow.id, JobRow.state)
    )
    counts: dict[str, dict[JobState, StateCount]] = {sweep_id: {} for sweep_id in sweep_ids}
    for sweep_id, state, number, progress in session.execute(query):
        counts[sweep_id][state] = StateCount(number, progress)
    return counts


def jobs_of(session: Session, sweep_id: str) -> Sequence[JobRow]:
    """Return a sweep's jobs in the order of their specs, which are not loaded: they may be long."""
    query = select(JobRow).where(JobRow.sweep_id == sweep_id).order_by(JobRow.sweep_position)
    return session.scalars(query.options(defer(JobRow.spec, raiseload=True))).all()


def cancel_jobs(
    session: Session, sweep: SweepRow, *, retention: timedelta | None
) -> Sequence[JobRow]:
    """Cancel all jobs of a locked sweep that can be; return them."""
    return jobs.cancel_all(session, _jobs_of(sweep), retention=retention)


def retry_jobs(session: Session, sweep: SweepRow, *, resend_seconds: float) -> Sequence[JobRow]:
    """Queue all failed and cancelled jobs of a locked sweep again; return them."""
    return jobs.retry_all(session, _jobs_of(sweep), resend_seconds=resend_seconds)


def delete_empty(session: Session) -> Sequence[str]:
    """Delete the sweeps whose jobs have all been deleted; return their ids."""
    has_jobs = select(JobRow.id).where(JobRow.sweep_id == SweepRow.id).exists()
    statement = delete(SweepRow).where(~has_jobs).returning(SweepRow.id)
    return session.scalars(statement, execution_options={"synchronize_session": False}).all()


def _get(session: Session, query: Select[SweepRow], workspace: str, sweep_id: str) -> SweepRow:
    ours = query.where(SweepRow.id == sweep_id, SweepRow.workspace == workspace)
    row = session.scalars(ours).one_or_none()
    if row is None:
        raise NotFoundError(f"no sweep {sweep_id!r}; `GET /v1/sweeps` lists the sweeps there are")
    return row


def _jobs_of(sweep: SweepRow) -> Sequence[ColumnElement[bool]]:
    return (JobRow.workspace == sweep.workspace, JobRow.sweep_id == sweep.id)
