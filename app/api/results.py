"""What a job produced: the compressed model and the report."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from app.api.dependencies import Context, Identifier, Reader
from app.api.downloads import DOWNLOAD_RESPONSES, serve_content
from app.api.preferences import choose_media_type
from app.api.problems import Responses, responses
from app.services import results
from app.tables import ALTERNATIVES, ArtifactKind
from worker.engine.report.html.page import render_page
from worker.engine.report.markdown.document import render_markdown

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])

_JSON, _MARKDOWN, _HTML = "application/json", "text/markdown", "text/html"
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""The page brings its style and asks for nothing; names in it come from uploaded models."""
_REPORT: Responses = {
    200: {
        "description": "What was measured",
        "content": {
            _JSON: {"schema": {"$ref": "#/components/schemas/Report"}},
            _MARKDOWN: {"schema": {"type": "string"}},
            _HTML: {"schema": {"type": "string"}},
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
    request: Request,
    job_id: Identifier,
    caller: Reader,
    context: Context,
    alternative: Annotated[int | None, Query(ge=1, le=len(ALTERNATIVES))] = None,
) -> Response:
    """Download the compressed model, or a range of it; the `ETag` is its SHA-256.

    `alternative` is for jobs with a goal: what was found besides the choice, the best first.
    """
    kind: ArtifactKind = "model" if alternative is None else ALTERNATIVES[alternative - 1]
    content = results.artifact(context, caller.workspace, job_id, kind)
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
    """Read the report: JSON or, by `Accept`, Markdown or one HTML file with charts."""
    kind = choose_media_type(accept, (_JSON, _MARKDOWN, _HTML))
    headers = {"Vary": "Accept"}
    if kind == _JSON:
        data = results.report_json(context, caller.workspace, job_id)
        return Response(data, media_type=_JSON, headers=headers)
    report = results.report(context, caller.workspace, job_id)
    if kind == _MARKDOWN:
        return Response(render_markdown(report), media_type=_MARKDOWN, headers=headers)
    headers["Content-Security-Policy"] = _PAGE_POLICY
    return Response(render_page(report), media_type=_HTML, headers=headers)
