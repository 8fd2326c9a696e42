"""Submitting jobs, each once, however often it is asked for."""

from dataclasses import asdict, dataclass, field, replace

from app.db import reading
from app.repositories import idempotency, jobs, models
from app.repositories.jobs import NewJob
from app.services import datasets
from app.services import models as model_uploads
from app.services.context import ServiceContext
from app.services.datasets import NewUpload
from app.services.goals import check_budget
from app.services.idempotence import fingerprint, once
from app.services.jobs import note, send
from app.services.uploads import Upload
from app.tables import IdempotencyRow, JobRow
from worker.engine.spec import Spec


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
        return fingerprint({**asdict(self), "spec": self.spec.model_dump(mode="json")})


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
        return fingerprint(
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
    with once(context, workspace, key, submission.fingerprint) as earlier:
        if earlier is not None:
            return _earlier(context, workspace, earlier)
        return Outcome(_add(context, workspace, submission, key))


def submit_files(
    context: ServiceContext, workspace: str, files: FileSubmission, key: str | None
) -> Outcome:
    """Store a job's files, then do as `submit`.

    Raises:
        EngineError: a file is malformed, or a dataset does not fit the model.
    """
    with once(context, workspace, key, files.fingerprint) as earlier:
        if earlier is not None:
            return _earlier(context, workspace, earlier)
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
    check_budget(submission.spec, context.settings.job_time_limit_seconds)
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
        needed = (new_job.calibration_dataset_id, new_job.evaluation_dataset_id)
        datasets.hold_fitting(session, workspace, needed, model)
        row = jobs.add(session, new_job, resend_seconds=context.settings.resend_seconds)
        if key is not None:
            idempotency.complete(session, workspace, key, job_id=row.id)
    note("job.submitted", [row])
    send(context, [row.id])
    return row


def _earlier(context: ServiceContext, workspace: str, row: IdempotencyRow) -> Outcome:
    assert row.job_id is not None  # noqa: S101 - no sweep has a job's fingerprint
    with reading(context.session_factory) as session:
        return Outcome(jobs.get(session, workspace, row.job_id), is_replay=True)
