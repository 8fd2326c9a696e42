"""Uploaded models."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import Context, Identifier, PageQuery, Reader, Writer
from app.api.downloads import DOWNLOAD_RESPONSES, serve_content
from app.api.forms import FormFields
from app.api.openapi import file_body
from app.api.problems import Responses, responses
from app.api.schemas import Model, Page
from app.api.sharing import PreflightCalls
from app.api.uploads import Receiver
from app.services import models, preflights
from app.services.content import uploaded
from worker.engine.preflight.contents import Preflight

router = APIRouter(prefix="/v1/models", tags=["models"])

_KNOWN: Responses = {200: {"model": Model, "description": "These bytes were uploaded before"}}
_FORM = FormFields(files=frozenset({"file"}), parameters=frozenset({"name"}))


@router.post(
    "",
    status_code=201,
    responses=_KNOWN | responses(400, 401, 403, 408, 413, 415, 422, 503),
    openapi_extra=file_body("A `.onnx` file, or a `.zip` or `.tar` of a model and its data"),
)
async def upload_model(
    response: Response,
    caller: Writer,
    receiver: Receiver,
    name: Annotated[str | None, Query(max_length=255)] = None,
) -> Model:
    """Upload a model: a raw body, or a form with one `file`.

    The bytes go straight to storage and are checked before the answer. The same bytes again
    answer 200 with the model there is. A `Content-Digest: sha-256=:…:` header is verified.
    """
    async with receiver.receive(_FORM, name) as form:
        upload = form.file("file")
        row, is_new = await receiver.work(
            lambda: models.add(receiver.context, caller.workspace, upload)
        )
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"{router.prefix}/{row.id}"
    return Model.of(row)


@router.get("", responses=responses(401, 403, 422))
def list_models(
    caller: Reader, context: Context, query: Annotated[PageQuery, Query()]
) -> Page[Model]:
    """List the models, newest first."""
    page = models.list(context, caller.workspace, query.cursor, query.limit)
    return Page(items=[Model.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{model_id}", responses=responses(401, 403, 404))
def read_model(model_id: Identifier, caller: Reader, context: Context) -> Model:
    """Read what a model is."""
    return Model.of(models.get(context, caller.workspace, model_id))


@router.get("/{model_id}/preflight", responses=responses(401, 403, 404, 410, 422, 503))
async def preflight_model(
    model_id: Identifier, caller: Reader, context: Context, calls: PreflightCalls
) -> Preflight:
    """Say in seconds what the model is and what each method would make of it.

    Sizes follow the methods' own code at work on a part of each large weight. The first call makes
    the preflight in a child process and keeps it; later ones answer at once.
    """
    model = await run_sync(models.get, context, caller.workspace, model_id)
    known = await run_sync(preflights.find, context, model)
    if known is not None:
        return known
    return await calls.run(model.sha256, lambda: preflights.make(context, model))


@router.delete("/{model_id}", status_code=204, responses=responses(401, 403, 404, 409))
def delete_model(model_id: Identifier, caller: Writer, context: Context) -> None:
    """Delete a model that no unfinished job needs."""
    models.delete(context, caller.workspace, model_id)


@router.head("/{model_id}/content", include_in_schema=False)
@router.get(
    "/{model_id}/content",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES | responses(401, 403, 404, 410, 416),
)
def download_model(
    request: Request, model_id: Identifier, caller: Reader, context: Context
) -> Response:
    """Download the uploaded file as it came."""
    content = uploaded(models.get(context, caller.workspace, model_id))
    return serve_content(request, context.storage, content)
