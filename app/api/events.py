"""A job's progress as server-sent events, for who would rather listen than ask."""

import hashlib
import time
from collections.abc import AsyncIterator
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from app.api.dependencies import Context, Identifier, Reader
from app.api.problems import Responses, responses
from app.api.schemas import JobEvent
from app.api.waiting import looks
from app.errors import NotFoundError
from app.repositories.jobs import TERMINAL_STATES
from app.services import jobs
from app.tables import JobRow

router = APIRouter(prefix="/v1/jobs/{job_id}/events", tags=["jobs"])

_EVENT_STREAM = "text/event-stream"
_LONGEST_STREAM_SECONDS = 3600
"""A listener then comes back by itself, and its key is looked at again."""
_LONGEST_SILENCE_SECONDS = 15
"""Proxies drop a connection on which nothing comes for longer."""
_EVENTS: Responses = {
    200: {
        "description": "Events whose data is a `JobEvent` as JSON",
        "content": {_EVENT_STREAM: {"schema": {"type": "string"}}},
    },
    204: {"description": "The job has ended, and `Last-Event-ID` is of its end"},
}


@router.get("", response_class=Response, responses=_EVENTS | responses(401, 403, 404))
async def read_events(
    request: Request,
    job_id: Identifier,
    caller: Reader,
    context: Context,
    last_event_id: Annotated[str | None, Header(max_length=100)] = None,
) -> Response:
    """Follow a job: an event now and with each change of state, stage or progress, until it ends.

    An event tells how the job is, not what happened since, so a listener that comes back with its
    `Last-Event-ID` misses nothing: it hears at once of what is different now.
    """
    row = await run_sync(jobs.get, context, caller.workspace, job_id)
    if row.state in TERMINAL_STATES and last_event_id == _event_id(_data(row)):
        return Response(status_code=204)  # which tells a browser not to come back
    rows = looks(
        request,
        lambda: jobs.get(context, caller.workspace, job_id),
        lambda job: job.state in TERMINAL_STATES,
        _LONGEST_STREAM_SECONDS,
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _events(rows, last_event_id), media_type=_EVENT_STREAM, headers=headers
    )


async def _events(rows: AsyncIterator[JobRow], last_id: str | None) -> AsyncIterator[str]:
    """Yield an event for each row that says something new, and a comment where none does."""
    sent_at = time.monotonic()
    try:
        async for row in rows:
            data = _data(row)
            if (event_id := _event_id(data)) != last_id:
                yield f"id: {event_id}\ndata: {data}\n\n"
            elif time.monotonic() - sent_at > _LONGEST_SILENCE_SECONDS:
                yield ": nothing new\n\n"
            else:
                continue
            last_id, sent_at = event_id, time.monotonic()
    except NotFoundError:  # deleted, its time being over
        return


def _data(row: JobRow) -> str:
    return JobEvent(
        state=row.state, stage=row.stage, progress=row.progress, attempt=row.attempt
    ).model_dump_json()


def _event_id(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()[:16]
