"""What a job produced: the artifact, and the report."""

from pydantic import ValidationError

from app.db import reading
from app.errors import ConflictError, GoneError, NotAcceptableError, NotFoundError
from app.repositories import artifacts, jobs
from app.services.content import Content, media_type_of
from app.services.context import ServiceContext
from app.tables import ALTERNATIVES, ArtifactKind, ArtifactRow
from worker.engine.report.report import Report


def artifact(
    context: ServiceContext, workspace: str, job_id: str, kind: ArtifactKind = "model"
) -> Content:
    """Return the compressed model, or an alternative to it.

    Raises:
        NotFoundError: there is no such job in the workspace, or it has no such alternative.
        ConflictError: it has not succeeded.
        GoneError: its files were deleted.
    """
    row = _find(context, workspace, job_id, kind)
    return Content(
        storage_key=row.storage_key,
        file_name=row.file_name,
        media_type=media_type_of(row.file_name),
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
    )


def report_json(context: ServiceContext, workspace: str, job_id: str) -> bytes:
    """Return the report as it was stored; errors as for the artifact."""
    row = _find(context, workspace, job_id, "report")
    return b"".join(context.storage.read(row.storage_key))


def report(context: ServiceContext, workspace: str, job_id: str) -> Report:
    """Return the report, to be drawn; errors as for the artifact.

    Raises:
        NotAcceptableError: another version made it, and this one cannot read it.
    """
    text = report_json(context, workspace, job_id)
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        raise NotAcceptableError(
            "another version of onnxpress made this report: it is offered as application/json only"
        ) from error


def _find(context: ServiceContext, workspace: str, job_id: str, kind: ArtifactKind) -> ArtifactRow:
    with reading(context.session_factory) as session:
        job = jobs.get(session, workspace, job_id)
        if job.state != "succeeded":
            raise ConflictError(
                f"the job is {job.state}; only a succeeded job has results", code="no_result"
            )
        row = artifacts.find(session, job_id, kind)
        kinds = [each.kind for each in artifacts.list(session, job_id)]
    if row is None and kind in ALTERNATIVES and kinds:
        count = len(set(kinds) & set(ALTERNATIVES))
        raise NotFoundError(f"the job has {count} alternatives to its artifact")
    if row is None:
        raise GoneError("the job's results were deleted; retry is not possible, submit it again")
    return row
