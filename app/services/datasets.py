"""Uploaded datasets: checked once, stored by content, deleted when nothing needs them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db import database_now, new_id, reading
from app.errors import ConflictError, UnavailableError
from app.repositories import blobs, datasets, jobs, models
from app.repositories.pages import Page
from app.services.context import ServiceContext
from app.services.inspection import inspect_dataset
from app.services.uploads import Upload, ensure_stored
from app.storage import blob_key
from app.tables import DatasetRow, JsonObject, ModelRow
from worker.engine.datasets.fitting import check_fit
from worker.engine.requests import DatasetInfo, ModelInfo

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True)
class NewUpload:
    """A received dataset, and the image transform that was given beside it."""

    upload: Upload
    transform: JsonObject | None = None

    @property
    def transform_json(self) -> str | None:
        """The transform in one spelling."""
        return None if self.transform is None else json.dumps(self.transform, sort_keys=True)

    @property
    def transform_sha256(self) -> str:
        """The transform's digest; empty without one."""
        text = self.transform_json
        return "" if text is None else hashlib.sha256(text.encode()).hexdigest()


def add(
    context: ServiceContext, workspace: str, new: NewUpload, model_id: str | None = None
) -> tuple[DatasetRow, bool]:
    """Check and store a received dataset; return its row and whether it is new.

    Raises:
        NotFoundError: there is no such model in the workspace.
        EngineError: the dataset is malformed, or does not fit the model.
        StorageError: as for a model.
    """
    model = _model_info(context, workspace, model_id) if model_id else None
    known = _renew(context, workspace, new)
    if known is not None:
        if model is not None:
            check_fit(DatasetInfo.model_validate(known.info), model.inputs)
        ensure_stored(context.storage, new.upload, known.storage_key)
        return known, False
    upload = new.upload
    inputs = model.inputs if model else None
    info = inspect_dataset(context, upload, new.transform_json, inputs)
    key = blob_key(upload.sha256)
    context.storage.put(upload.path, key)
    row = DatasetRow(
        id=new_id("dataset"),
        workspace=workspace,
        name=upload.name or "dataset",
        sha256=upload.sha256,
        transform=new.transform,
        transform_sha256=new.transform_sha256,
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
            datasets.add(session, row)
    except IntegrityError as error:
        known = _renew(context, workspace, new)
        if known is None:
            detail = "the same dataset was uploaded and deleted at this moment; send it again"
            raise UnavailableError(detail) from error
        return known, False
    log.info("dataset.uploaded", dataset_id=row.id, size_bytes=row.size_bytes)
    return row, True


def list(  # noqa: A001 - as in the repositories
    context: ServiceContext, workspace: str, cursor: str | None, limit: int
) -> Page[DatasetRow]:
    """Return a page of the workspace's datasets, newest first."""
    with reading(context.session_factory) as session:
        return datasets.list(session, workspace, cursor, limit)


def get(context: ServiceContext, workspace: str, dataset_id: str) -> DatasetRow:
    """Return a dataset.

    Raises:
        NotFoundError: there is no such dataset in the workspace.
    """
    with reading(context.session_factory) as session:
        return datasets.get(session, workspace, dataset_id)


def hold_fitting(
    session: Session, workspace: str, dataset_ids: Iterable[str | None], model: ModelRow
) -> None:
    """Lock the datasets that a job is about to need, and see that they fit the model.

    Raises:
        NotFoundError: one of them is not in the workspace.
        InvalidDatasetError: one does not fit; the message lists all that is wrong.
    """
    inputs = ModelInfo.model_validate(model.info).inputs
    for row in datasets.get_all_locked(session, workspace, dataset_ids):
        check_fit(DatasetInfo.model_validate(row.info), inputs)


def delete(context: ServiceContext, workspace: str, dataset_id: str) -> None:
    """Delete a dataset; the reaper removes its bytes once nothing names them.

    Raises:
        NotFoundError: there is no such dataset in the workspace.
        ConflictError: unfinished jobs need it.
    """
    with context.session_factory.begin() as session:
        row = datasets.get_locked(session, workspace, dataset_id)
        users = jobs.unfinished_users(session, dataset_id)
        if users:
            raise ConflictError(
                f"unfinished jobs need this dataset; cancel or await them: {', '.join(users)}",
                code="dataset_in_use",
            )
        datasets.delete(session, row)
    log.info("dataset.deleted", dataset_id=dataset_id)


def _model_info(context: ServiceContext, workspace: str, model_id: str) -> ModelInfo:
    with reading(context.session_factory) as session:
        return ModelInfo.model_validate(models.get(session, workspace, model_id).info)


def _renew(context: ServiceContext, workspace: str, new: NewUpload) -> DatasetRow | None:
    """Return the row of these bytes, kept for as long as if they had come just now."""
    with context.session_factory.begin() as session:
        row = datasets.find_by_sha256(session, workspace, new.upload.sha256, new.transform_sha256)
        if row is not None:
            row.expires_at = context.expiry(database_now(session))
        return row
