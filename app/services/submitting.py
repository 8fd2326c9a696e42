"""Submitting jobs, each once, however often it is asked for."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

from app.db import database_now
from app.errors import ConflictError, InvalidRequestError
from app.repositories import idempotency, jobs, models
from app.repositories.jobs import NewJob
from app.services import datasets
from app.services import models as model_uploads
from app.services.context import ServiceContext
from app.services.datasets import NewUpload
from app.services.jobs import send
from app.services.uploads import Upload
from app.tables import JobRow
from worker.engine.spec import Spec

_ABANDONED_AFTER = timedelta(minutes=15)
"""A call that has not ended by then died with its process, and its key is free again."""


@dataclass(frozen=True)
class Submission:
    """A job on uploads that are there."""

    model_id: str
    spec: Spec
    calibration_dataset_id: str | None = None
    evaluation_dataset_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all that it says."""
        return _fingerprint({**asdict(self), "spec": self.spec.model_dump(mode="json")})


@dataclass(frozen=True)
class FileSubmission:
    """A job that brings its files along."""

    model: Upload
    spec: Spec
    calibration: NewUpload | None = None
    evaluation: NewUpload | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all that it says and brings."""
        files = [
            it and [it.upload.sha256, it.transform_sha256]
            for it in (self.calibration, self.evaluation)
        ]
        return _fingerprint(
            {
                "model": self.model.sha256,
                "files": files,
                "spec": self.spec.model_dump(mode="json"),
                "labels": self.labels,
            }
        )


@dataclass(frozen=True)
class Outcome:
    """The job, and whether it is the one of an earlier call with the same key."""

    job: JobRow
    is_replay: bool = False


def submit(
    context: ServiceContext, workspace: str, submission: Submission, key: str | None
) -> Outcome:
    """Save a job and ring for a worker.

    Raises:
        NotFoundError: its model or a dataset is not there.
        InvalidDatasetError: a dataset does not fit the model.
        ConflictError: a call with the same key still runs.
        InvalidRequestError: the key was used for another request.
    """
    with _once(context, workspace, key, submission.fingerprint) as earlier:
        return earlier or Outcome(_add(context, workspace, submission, key))


def submit_files(
    context: ServiceContext, workspace: str, files: FileSubmission, key: str | None
) -> Outcome:
    """Store a job's files, then do as `submit`.

    Raises:
        EngineError: a file is malformed, or a dataset does not fit the model.
    """
    with _once(context, workspace, key, files.fingerprint) as earlier:
        if earlier is not None:
            return earlier
        model, _ = model_uploads.add(context, workspace, files.model)
        submission = Submission(model.id, files.spec, labels=files.labels)
        if files.calibration is not None:
            row, _ = datasets.add(context, workspace, files.calibration, model.id)
            submission = replace(submission, calibration_dataset_id=row.id)
        if files.evaluation is not None:
            row, _ = datasets.add(context, workspace, files.evaluation, model.id)
            submission = replace(submission, evaluation_dataset_id=row.id)
        return Outcome(_add(context, workspace, submission, key))


def _add(
    context: ServiceContext, workspace: str, submission: Submission, key: str | None
) -> JobRow:
    new_job = NewJob(
        workspace=workspace,
        model_id=submission.model_id,
        spec=submission.spec.model_dump(mode="json"),
        calibration_dataset_id=submission.calibration_dataset_id,
        evaluation_dataset_id=submission.evaluation_dataset_id,
        labels=submission.labels,
    )
    with context.session_factory.begin() as session:
        model = models.get_locked(session, workspace, submission.model_id)
        for dataset_id in (new_job.calibration_dataset_id, new_job.evaluation_dataset_id):
            datasets.get_fitting(session, workspace, dataset_id, model)
        row = jobs.add(session, new_job, resend_seconds=context.settings.resend_seconds)
        if key is not None:
            idempotency.complete(session, workspace, key, job_id=row.id)
    send(context, [row.id])
    return row


@contextmanager
def _once(
    context: ServiceContext, workspace: str, key: str | None, fingerprint: str
) -> Iterator[Outcome | None]:
    """Hold an idempotency key while its request runs; give the outcome of its earlier use."""
    if key is None:
        yield None
        return
    earlier = _reserve(context, workspace, key, fingerprint)
    try:
        yield earlier
    finally:
        # Does nothing once a job has come of it.
        with context.session_factory.begin() as session:
            idempotency.release(session, workspace, key)


def _reserve(context: ServiceContext, workspace: str, key: str, fingerprint: str) -> Outcome | None:
    lifetime = timedelta(hours=context.settings.idempotency_hours)
    with context.session_factory.begin() as session:
        earlier = idempotency.reserve(
            session, workspace, key, request_sha256=fingerprint, lifetime=lifetime
        )
        if earlier is None:
            return None
        if earlier.request_sha256 != fingerprint:
            raise InvalidRequestError(
                "this Idempotency-Key was used for another request; take a new one",
                code="idempotency_key_reused",
            )
        if earlier.job_id is not None:
            return Outcome(jobs.get(session, workspace, earlier.job_id), is_replay=True)
        if earlier.created_at > database_now(session) - _ABANDONED_AFTER:
            raise ConflictError(
                "the first request with this Idempotency-Key still runs; ask again later",
                code="request_in_progress",
            )
        idempotency.release(session, workspace, key)
        idempotency.reserve(session, workspace, key, request_sha256=fingerprint, lifetime=lifetime)
        return None


def _fingerprint(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
