"""Uploaded models: checked once, stored by content, deleted when nothing needs them."""

import structlog
from sqlalchemy.exc import IntegrityError

from app.db import database_now, new_id, reading
from app.errors import ConflictError, UnavailableError
from app.repositories import blobs, jobs, models
from app.repositories.pages import Page
from app.services.context import ServiceContext
from app.services.inspection import inspect_model
from app.services.uploads import Upload, ensure_stored
from app.storage import blob_key
from app.tables import ModelRow

log = structlog.stdlib.get_logger(__name__)


def add(context: ServiceContext, workspace: str, upload: Upload) -> tuple[ModelRow, bool]:
    """Check and store a received model; return its row and whether it is new.

    Raises:
        EngineError: it is not a valid model.
        StorageError: it could not be stored, or was taken for an orphan; sending it again may help.
    """
    known = _renew(context, workspace, upload.sha256)
    if known is not None:
        ensure_stored(context.storage, upload, known.storage_key)
        return known, False
    info = inspect_model(context, upload)
    key = blob_key(upload.sha256)
    context.storage.put(upload.path, key)
    row = ModelRow(
        id=new_id("model"),
        workspace=workspace,
        name=upload.name or "model.onnx",
        sha256=upload.sha256,
        size_bytes=upload.size_bytes,
        storage_key=key,
        info=info.model_dump(mode="json"),
    )
    try:
        with context.session_factory.begin() as session:
            blobs.hold(session, [key])
            context.storage.require([key])
            row.created_at = database_now(session)
            row.expires_at = context.expiry(row.created_at)
            models.add(session, row)
    except IntegrityError as error:
        known = _renew(context, workspace, upload.sha256)
        if known is None:
            detail = "the same model was uploaded and deleted at this moment; send it again"
            raise UnavailableError(detail) from error
        return known, False
    log.info("model.uploaded", model_id=row.id, size_bytes=row.size_bytes)
    return row, True


def list(  # noqa: A001 - as in the repositories
    context: ServiceContext, workspace: str, cursor: str | None, limit: int
) -> Page[ModelRow]:
    """Return a page of the workspace's models, newest first."""
    with reading(context.session_factory) as session:
        return models.list(session, workspace, cursor, limit)


def get(context: ServiceContext, workspace: str, model_id: str) -> ModelRow:
    """Return a model.

    Raises:
        NotFoundError: there is no such model in the workspace.
    """
    with reading(context.session_factory) as session:
        return models.get(session, workspace, model_id)


def delete(context: ServiceContext, workspace: str, model_id: str) -> None:
    """Delete a model; the reaper removes its bytes once nothing names them.

    Raises:
        NotFoundError: there is no such model in the workspace.
        ConflictError: unfinished jobs need it.
    """
    with context.session_factory.begin() as session:
        row = models.get_locked(session, workspace, model_id)
        users = jobs.unfinished_users(session, model_id)
        if users:
            raise ConflictError(
                f"unfinished jobs need this model; cancel or await them: {', '.join(users)}",
                code="model_in_use",
            )
        models.delete(session, row)
    log.info("model.deleted", model_id=model_id)


def _renew(context: ServiceContext, workspace: str, sha256: str) -> ModelRow | None:
    """Return the row of these bytes, kept for as long as if they had come just now."""
    with context.session_factory.begin() as session:
        row = models.find_by_sha256(session, workspace, sha256)
        if row is not None:
            row.expires_at = context.expiry(database_now(session))
        return row
