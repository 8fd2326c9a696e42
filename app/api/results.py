"""What a job produced: the compressed model and the report."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from app.api.dependencies import Context, Identifier, Reader
from app.api.downloads import DOWNLOAD_RESPONSES, serve_content
from app.api.preferences import choose_media_type
from app.api.problems import Responses, responses
from app.services import results

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

_JSON, _MARKDOWN = "application/json", "text/markdown"
_REPORT: Responses = {
    200: {
        "description": "What was measured",
        "content": {
            _JSON: {"schema": {"$ref": "#/components/schemas/Report"}},
            _MARKDOWN: {"schema": {"type": "string"}},
        },
    }
}


@router.head("/artifact", include_in_schema=False)
@router.get(
    "/artifact",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES | responses(401, 403, 404, 409, 410, 416),
)
def download_artifact(
    request: Request, job_id: Identifier, caller: Reader, context: Context
) -> Response:
    """Download the compressed model, or a range of it; the `ETag` is its SHA-256."""
    content = results.artifact(context, caller.workspace, job_id)
    return serve_content(request, context.storage, content)


@router.get(
    "/report",
    response_class=Response,
    responses=_REPORT | responses(401, 403, 404, 406, 409, 410),
)
def read_report(
    job_id: Identifier,
    caller: Reader,
    context: Context,
    accept: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Read the report, as JSON or, by `Accept: text/markdown`, as a page for people."""
    kind = choose_media_type(accept, (_JSON, _MARKDOWN))
    headers = {"Vary": "Accept"}
    if kind == _MARKDOWN:
        text = results.report_page(context, caller.workspace, job_id)
        return Response(text, media_type=_MARKDOWN, headers=headers)
    report = results.report_json(context, caller.workspace, job_id)
    return Response(report, media_type=_JSON, headers=headers)
