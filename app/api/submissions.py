"""The three ways to write a job: JSON, YAML, and a form with its files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import run_sync
from fastapi import Request

from app.api.bodies import media_type, read_document
from app.api.documents import check_document, parse_text, parse_transform
from app.api.forms import FormFields, ReceivedForm
from app.api.schemas import JobParts, JobRequest
from app.api.uploads import UploadReceiver
from app.errors import FieldError, InvalidRequestError
from app.services.datasets import NewUpload
from app.services.submitting import FileSubmission, Submission

FORM = FormFields(
    files=frozenset({"model", "calibration", "evaluation"}),
    texts=frozenset({"spec", "labels", "calibration_transform", "evaluation_transform"}),
)


def is_form(request: Request) -> bool:
    """Return whether the job brings its files along."""
    return media_type(request) == "multipart/form-data"


async def read_submission(request: Request) -> Submission:
    """Return the job that a JSON or YAML body asks for.

    Raises:
        UnsupportedMediaTypeError: it is neither.
        BadRequestError: it is not well-formed.
        InvalidRequestError: a field is wrong.
    """
    document = await read_document(request, or_else="multipart/form-data")
    return await run_sync(_submission, document)


def _submission(document: object) -> Submission:
    body = check_document(document, JobRequest)
    return Submission(
        model_id=body.model_id,
        spec=body.spec,
        calibration_dataset_id=body.calibration_dataset_id,
        evaluation_dataset_id=body.evaluation_dataset_id,
        labels=body.labels,
    )


@asynccontextmanager
async def receive_form(receiver: UploadReceiver) -> AsyncIterator[FileSubmission]:
    """Receive a job and its files; they are gone from the spool afterwards.

    Raises:
        BadRequestError: the form, or a text in it, is not well-formed.
        InvalidRequestError: a part is missing, unknown or wrong.
        TooLargeError: a part is over its cap.
    """
    async with receiver.receive(FORM) as form:
        yield await run_sync(_file_submission, form)


def _file_submission(form: ReceivedForm) -> FileSubmission:
    if "spec" not in form.texts:
        problem = "the form has no field 'spec'"
        errors = [FieldError("#/spec", problem)]
        raise InvalidRequestError(problem, code="missing_field", errors=errors)
    texts = {name: form.texts[name] for name in ("spec", "labels") if name in form.texts}
    document = {name: parse_text(text, name) for name, text in texts.items()}
    parts = check_document(document, JobParts)
    return FileSubmission(
        model=form.file("model"),
        calibration=_dataset(form, "calibration"),
        evaluation=_dataset(form, "evaluation"),
        spec=parts.spec,
        labels=parts.labels,
    )


def _dataset(form: ReceivedForm, name: str) -> NewUpload | None:
    field = f"{name}_transform"
    transform = parse_transform(form.texts.get(field), field)
    if name in form.files:
        return NewUpload(form.files[name], transform)
    if transform is not None:
        problem = f"{field} was given without a file {name!r}"
        raise InvalidRequestError(problem, errors=[FieldError(f"#/{field}", problem)])
    return None
