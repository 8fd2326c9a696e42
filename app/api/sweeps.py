"""Sweeps: several specs over one model, submitted, watched, compared and ended as one."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import PLAIN_ID, Context, Identifier, PageQuery, Reader, Writer
from app.api.openapi import SWEEP_BODY
from app.api.preferences import asked_wait_seconds, choose_media_type
from app.api.problems import Responses, responses
from app.api.schemas import Page
from app.api.sweep_requests import read_sweep
from app.api.sweep_schemas import Sweep, SweepSummary
from app.api.waiting import wait_for_end
from app.services import sweeps
from app.services.sweep_page import render_sweep

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

_JSON, _MARKDOWN = "application/json", "text/markdown"
_PAGE: Responses = {200: {"content": {_MARKDOWN: {"schema": {"type": "string"}}}}}


class Preferences(BaseModel):
    """How a caller wants the answer."""

    prefer: Annotated[str | None, Field(max_length=1000)] = None
    """`wait=N`: answer after N seconds at most."""
    accept: Annotated[str | None, Field(max_length=1000)] = None

    model_config = ConfigDict(use_attribute_docstrings=True)


class SweepQuery(PageQuery):
    """Which sweeps to list."""

    model_id: Annotated[str | None, Field(max_length=64, pattern=PLAIN_ID)] = None


@router.post(
    "",
    status_code=202,
    responses=responses(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=SWEEP_BODY,
)
async def submit_sweep(
    request: Request,
    response: Response,
    caller: Writer,
    context: Context,
    idempotency_key: Annotated[
        str | None, Header(min_length=1, max_length=255, pattern=r"^[ -~]+$")
    ] = None,
) -> Sweep:
    """Try several specs on one model, a job each: a list of them, or one and a grid of values.

    Every spec is checked before any job is queued. Jobs on the same worker share calibration and
    the original's answers. An `Idempotency-Key` makes a repeated call answer with the sweep of the
    first one.
    """
    submission = await read_sweep(request, context.settings.max_sweep_jobs)
    outcome = await run_sync(sweeps.submit, context, caller.workspace, submission, idempotency_key)
    response.headers["Location"] = f"{router.prefix}/{outcome.view.standing.row.id}"
    response.headers["Retry-After"] = "1"
    if outcome.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return Sweep.of_view(outcome.view)


@router.get("", responses=responses(401, 403, 422))
def list_sweeps(
    caller: Reader, context: Context, query: Annotated[SweepQuery, Query()]
) -> Page[SweepSummary]:
    """List the sweeps, newest first."""
    found, next_cursor = sweeps.list(
        context, caller.workspace, query.model_id, query.cursor, query.limit
    )
    return Page(items=[SweepSummary.of(it) for it in found], next_cursor=next_cursor)


@router.get("/{sweep_id}", response_model=Sweep, responses=_PAGE | responses(401, 403, 404, 406))
async def read_sweep_state(
    request: Request,
    response: Response,
    sweep_id: Identifier,
    caller: Reader,
    context: Context,
    preferences: Annotated[Preferences, Header()],
) -> Sweep | Response:
    """Read a sweep and the comparison of its jobs; by `Accept: text/markdown`, as a table.

    With `Prefer: wait=N`, once all jobs have ended or N seconds (≤ 60) have gone.
    """
    kind = choose_media_type(preferences.accept, (_JSON, _MARKDOWN))
    wait_seconds = asked_wait_seconds(preferences.prefer)
    headers = {"Vary": "Accept"}
    if wait_seconds is not None:
        headers["Preference-Applied"] = f"wait={wait_seconds}"
        await wait_for_end(
            request,
            lambda: sweeps.look(context, caller.workspace, sweep_id),
            lambda standing: standing.is_over,
            wait_seconds,
        )
    view = await run_sync(sweeps.get, context, caller.workspace, sweep_id)
    if not view.standing.is_over:
        headers["Retry-After"] = "1"
    if kind == _MARKDOWN:
        return Response(render_sweep(view), media_type=_MARKDOWN, headers=headers)
    response.headers.update(headers)
    return Sweep.of_view(view)


@router.post("/{sweep_id}/cancel", status_code=202, responses=responses(401, 403, 404, 409))
def cancel_sweep(sweep_id: Identifier, caller: Writer, context: Context) -> Sweep:
    """Cancel all jobs of a sweep that are queued or running; running ones end within seconds."""
    return Sweep.of_view(sweeps.cancel(context, caller.workspace, sweep_id))


@router.post("/{sweep_id}/retry", status_code=202, responses=responses(401, 403, 404, 409))
def retry_sweep(sweep_id: Identifier, caller: Writer, context: Context) -> Sweep:
    """Queue the failed and cancelled jobs of a sweep again; what succeeded stays."""
    return Sweep.of_view(sweeps.retry(context, caller.workspace, sweep_id))
