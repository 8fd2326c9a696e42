"""Compression jobs: submitting, watching, cancelling and retrying them."""

from datetime import UTC, datetime
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, Field

from app.api.dependencies import PLAIN_ID, Context, Identifier, PageQuery, Reader, Writer
from app.api.openapi import JOB_BODY
from app.api.preferences import asked_wait_seconds
from app.api.problems import responses
from app.api.schemas import LABEL_KEY, LABEL_VALUE, Job, Page
from app.api.submissions import is_form, read_submission, receive_form
from app.api.uploads import Receiver
from app.api.waiting import wait_for_end
from app.repositories.job_filters import JobFilter
from app.repositories.jobs import TERMINAL_STATES
from app.services import jobs, submitting
from app.tables import JobState

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def _as_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this time is beyond the calendar") from error


class JobQuery(PageQuery):
    """Which jobs to list."""

    state: JobState | None = None
    model_id: Annotated[str | None, Field(max_length=64, pattern=PLAIN_ID)] = None
    sweep_id: Annotated[str | None, Field(max_length=64, pattern=PLAIN_ID)] = None
    label: Annotated[
        str | None,
        Field(max_length=320, pattern=f"^{LABEL_KEY}={LABEL_VALUE}$", examples=["team=vision"]),
    ] = None
    """`key=value` of one label."""
    created_after: Annotated[AwareDatetime, AfterValidator(_as_utc)] | None = None
    """RFC 3339 time with its offset."""


@router.post(
    "",
    status_code=202,
    responses=responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=JOB_BODY,
)
async def submit_job(
    response: Response,
    caller: Writer,
    receiver: Receiver,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, pattern=r"^[ -~]+$")
    ] = None,
) -> Job:
    """Submit a job: JSON or YAML that names uploads, or one form that brings them along.

    Poll the job at `Location`, best with `Prefer: wait=60`. An `Idempotency-Key` makes a
    repeated call answer with the job of the first one.
    """
    context, workspace = receiver.context, caller.workspace
    if is_form(receiver.request):
        async with receive_form(receiver) as files:
            outcome = await receiver.work(
                lambda: submitting.submit_files(context, workspace, files, idempotency_key)
            )
    else:
        submission = await read_submission(receiver.request)
        outcome = await run_sync(submitting.submit, context, workspace, submission, idempotency_key)
    response.headers["Location"] = f"{router.prefix}/{outcome.job.id}"
    response.headers["Retry-After"] = "1"
    if outcome.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return Job.of(outcome.job)


@router.get("", responses=responses(401, 403, 422))
def list_jobs(caller: Reader, context: Context, query: Annotated[JobQuery, Query()]) -> Page[Job]:
    """List the jobs, newest first."""
    key, _, value = (query.label or "").partition("=")
    which = JobFilter(
        state=query.state,
        model_id=query.model_id,
        sweep_id=query.sweep_id,
        label=(key, value) if query.label else None,
        created_after=query.created_after,
    )
    page = jobs.list(context, caller.workspace, which, query.cursor, query.limit)
    return Page(items=[Job.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{job_id}", responses=responses(401, 403, 404))
async def read_job(
    request: Request,
    response: Response,
    job_id: Identifier,
    caller: Reader,
    context: Context,
    prefer: Annotated[
        str | None, Header(max_length=1000, description="`wait=N`: answer after N seconds at most")
    ] = None,
) -> Job:
    """Read a job; with `Prefer: wait=N`, once it is terminal or N seconds (≤ 60) have gone."""
    wait_seconds = asked_wait_seconds(prefer)
    if wait_seconds is not None:
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    row = await wait_for_end(
        request,
        lambda: jobs.get(context, caller.workspace, job_id),
        lambda job: job.state in TERMINAL_STATES,
        wait_seconds or 0,
    )
    if row.state not in TERMINAL_STATES:
        response.headers["Retry-After"] = "1"
    return Job.of(row)


@router.post("/{job_id}/cancel", status_code=202, responses=responses(401, 403, 404, 409))
def cancel_job(job_id: Identifier, caller: Writer, context: Context) -> Job:
    """Cancel a job that is queued or running; a running one ends within seconds."""
    return Job.of(jobs.cancel(context, caller.workspace, job_id))


@router.post("/{job_id}/retry", status_code=202, responses=responses(401, 403, 404, 409))
def retry_job(job_id: Identifier, caller: Writer, context: Context) -> Job:
    """Queue a failed or cancelled job again."""
    return Job.of(jobs.retry(context, caller.workspace, job_id))
