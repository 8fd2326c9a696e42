"""Jobs: reading them, ending them early and trying them again."""

from collections.abc import Sequence

import structlog
from sqlalchemy.orm import Session

from app.db import reading
from app.errors import ConflictError, NotFoundError
from app.repositories import datasets, jobs, models, reaping
from app.repositories.job_filters import JobFilter
from app.repositories.pages import Page
from app.services.context import ServiceContext
from app.tables import JobRow, SweepRow

log = structlog.stdlib.get_logger(__name__)


def list(  # noqa: A001 - as in the repositories
    context: ServiceContext, workspace: str, which: JobFilter, cursor: str | None, limit: int
) -> Page[JobRow]:
    """Return a page of the workspace's jobs, newest first."""
    with reading(context.session_factory) as session:
        return jobs.list(session, workspace, which, cursor, limit)


def get(context: ServiceContext, workspace: str, job_id: str) -> JobRow:
    """Return a job.

    Raises:
        NotFoundError: there is no such job in the workspace.
    """
    with reading(context.session_factory) as session:
        return jobs.get(session, workspace, job_id)


def cancel(context: ServiceContext, workspace: str, job_id: str) -> JobRow:
    """Cancel a queued or running job; one that is being cancelled stays so.

    Raises:
        NotFoundError: there is no such job in the workspace.
        ConflictError: it has ended.
    """
    retention = context.settings.retention
    with context.session_factory.begin() as session:
        moved = jobs.cancel(session, workspace, job_id, retention=retention)
        row = moved or jobs.get(session, workspace, job_id)
    if moved is not None:
        note_cancelled([moved])
    elif row.state != "cancelling":
        raise ConflictError(
            f"the job has {row.state} already, so there is nothing to cancel", code="job_ended"
        )
    return row


def retry(context: ServiceContext, workspace: str, job_id: str) -> JobRow:
    """Queue a failed or cancelled job again.

    Raises:
        NotFoundError: there is no such job in the workspace.
        ConflictError: it has not failed, or what it needs was deleted.
    """
    resend_seconds = context.settings.resend_seconds
    with context.session_factory.begin() as session:
        moved = jobs.retry(session, workspace, job_id, resend_seconds=resend_seconds)
        if moved is None:
            state = jobs.get(session, workspace, job_id).state
            raise ConflictError(
                f"the job is {state}; only a failed or cancelled job can be retried",
                code="job_not_retryable",
            )
        require_uploads(session, moved)
    note("job.retried", [moved])
    send(context, [job_id])
    return moved


def require_uploads(session: Session, row: JobRow | SweepRow) -> None:
    """Refuse to try again what has lost its model or a dataset; keep them from being deleted now.

    Call it after the jobs were moved, so that all callers lock jobs and uploads in one order.

    Raises:
        ConflictError: it has.
    """
    try:
        models.get_locked(session, row.workspace, row.model_id)
    except NotFoundError as error:
        detail = "its model was deleted; upload it and submit anew"
        raise ConflictError(detail, code="model_gone") from error
    try:
        needed = (row.calibration_dataset_id, row.evaluation_dataset_id)
        datasets.get_all_locked(session, row.workspace, needed)
    except NotFoundError as error:
        detail = "its dataset was deleted; upload it and submit anew"
        raise ConflictError(detail, code="dataset_gone") from error


def note(event: str, moved: Sequence[JobRow]) -> None:
    """Log what a caller did to jobs, once it is committed."""
    for job in moved:
        log.info(event, job_id=job.id, model_id=job.model_id, sweep_id=job.sweep_id)


def note_cancelled(moved: Sequence[JobRow]) -> None:
    """Log jobs that were cancelled; those that run end later, which their worker logs."""
    for job in moved:
        note("job.cancelling" if job.state == "cancelling" else "job.cancelled", [job])


def send(context: ServiceContext, job_ids: Sequence[str]) -> None:
    """Ring for workers, job by job; from where the broker does not answer, the reaper will."""
    for index, job_id in enumerate(job_ids):
        if not context.queue.send_job(job_id):
            log.warning("job.not_sent", job_id=job_id, jobs_left=len(job_ids) - index)
            with context.session_factory.begin() as session:
                reaping.make_due(session, job_ids[index:])
            return
