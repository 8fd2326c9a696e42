"""Uploaded datasets: samples to calibrate on and to judge by."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.dependencies import PLAIN_ID, Context, Identifier, PageQuery, Reader, Writer
from app.api.documents import parse_transform
from app.api.downloads import DOWNLOAD_RESPONSES, serve_content
from app.api.forms import FormFields
from app.api.openapi import file_body
from app.api.problems import Responses, responses
from app.api.schemas import Dataset, Page
from app.api.uploads import Receiver
from app.services import datasets
from app.services.content import uploaded
from app.tables import DatasetRow

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_KNOWN: Responses = {200: {"model": Dataset, "description": "These bytes were uploaded before"}}
_FORM = FormFields(
    files=frozenset({"file"}),
    texts=frozenset({"transform"}),
    parameters=frozenset({"name", "model_id"}),
)


@router.post(
    "",
    status_code=201,
    responses=_KNOWN | responses(400, 401, 403, 404, 408, 413, 415, 422, 503),
    openapi_extra=file_body(
        "A `.npz` (keys are graph inputs, the first axis is samples, `labels` is optional), a"
        " `.zip` of `.npz` files (each one run's feeds), or a `.zip` of images",
        transform="JSON of how images become arrays, in place of `transform.json` in the zip",
    ),
)
async def upload_dataset(
    response: Response,
    caller: Writer,
    receiver: Receiver,
    name: Annotated[str | None, Query(max_length=255)] = None,
    model_id: Annotated[str | None, Query(max_length=64, pattern=PLAIN_ID)] = None,
) -> Dataset:
    """Upload a dataset: a raw body, or a form with one `file` and, for images, a `transform`.

    With `model_id` every sample is checked against that model's inputs. The same bytes and
    transform again answer 200 with the dataset there is.
    """
    async with receiver.receive(_FORM, name) as form:
        upload, transform = form.file("file"), form.texts.get("transform")

        def add() -> tuple[DatasetRow, bool]:
            new = datasets.NewUpload(upload, parse_transform(transform, "transform"))
            return datasets.add(receiver.context, caller.workspace, new, model_id)

        row, is_new = await receiver.work(add)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"{router.prefix}/{row.id}"
    return Dataset.of(row)


@router.get("", responses=responses(401, 403, 422))
def list_datasets(
    caller: Reader, context: Context, query: Annotated[PageQuery, Query()]
) -> Page[Dataset]:
    """List the datasets, newest first."""
    page = datasets.list(context, caller.workspace, query.cursor, query.limit)
    return Page(items=[Dataset.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/{dataset_id}", responses=responses(401, 403, 404))
def read_dataset(dataset_id: Identifier, caller: Reader, context: Context) -> Dataset:
    """Read what a dataset is."""
    return Dataset.of(datasets.get(context, caller.workspace, dataset_id))


@router.delete("/{dataset_id}", status_code=204, responses=responses(401, 403, 404, 409))
def delete_dataset(dataset_id: Identifier, caller: Writer, context: Context) -> None:
    """Delete a dataset that no unfinished job needs."""
    datasets.delete(context, caller.workspace, dataset_id)


@router.head("/{dataset_id}/content", include_in_schema=False)
@router.get(
    "/{dataset_id}/content",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES | responses(401, 403, 404, 410, 416),
)
def download_dataset(
    request: Request, dataset_id: Identifier, caller: Reader, context: Context
) -> Response:
    """Download the uploaded file as it came."""
    content = uploaded(datasets.get(context, caller.workspace, dataset_id))
    return serve_content(request, context.storage, content)
