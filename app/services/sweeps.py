"""Sweeps: submitting several specs over one model, and moving all their jobs as one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.db import reading
from app.errors import ConflictError, FieldError, InvalidRequestError
from app.repositories import idempotency, jobs, models, sweeps
from app.repositories.jobs import TERMINAL_STATES, NewJob
from app.repositories.pages import Page
from app.repositories.sweeps import NewSweep, StateCounts
from app.services import datasets
from app.services.comparing import BestBy, Comparison, compare
from app.services.context import ServiceContext
from app.services.goals import check_budget
from app.services.idempotence import fingerprint, once
from app.services.jobs import note, note_cancelled, require_uploads, send
from app.tables import JobRow, JsonObject, SweepRow
from worker.engine.spec import Gates, Spec

SweepState = Literal[
    "queued", "running", "cancelling", "succeeded", "partly_failed", "failed", "cancelled"
]


@dataclass(frozen=True)
class SweepSubmission:
    """Specs over uploads that are there; `differences` says where each is unlike the others."""

    model_id: str
    specs: Sequence[Spec]
    pointers: Sequence[str]
    """Where in the request each spec is, for messages."""
    differences: Sequence[JsonObject]
    calibration_dataset_id: str | None = None
    evaluation_dataset_id: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    best_by: BestBy | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of all that it says."""
        specs = [spec.model_dump(mode="json") for spec in self.specs]
        best_by = self.best_by and self.best_by.model_dump(mode="json")
        return fingerprint({"sweep": vars(self) | {"specs": specs, "best_by": best_by}})


@dataclass(frozen=True)
class Standing:
    """A sweep, and how many of its jobs are in which state."""

    row: SweepRow
    counts: StateCounts

    @property
    def state(self) -> SweepState:
        """What its jobs' states come to."""
        present = set(self.counts)
        if present <= {"queued"}:
            return "queued"
        if present & {"queued", "running"}:
            return "running"
        for state in ("cancelling", "cancelled"):
            if state in present:
                return state
        if "failed" in present:
            return "partly_failed" if "succeeded" in present else "failed"
        return "succeeded"

    @property
    def is_over(self) -> bool:
        """Whether all its jobs have ended."""
        return set(self.counts) <= TERMINAL_STATES

    @property
    def progress(self) -> float:
        """The mean of its jobs' progress, which is 1 for all that have ended."""
        done = [
            count.jobs if state in TERMINAL_STATES else count.progress
            for state, count in self.counts.items()
        ]
        return sum(done) / max(1, sum(count.jobs for count in self.counts.values()))


@dataclass(frozen=True)
class SweepView:
    """A sweep with its jobs, in the order of their specs, and what they say of each other."""

    standing: Standing
    jobs: Sequence[JobRow]
    comparison: Comparison
    best_by: BestBy | None


@dataclass(frozen=True)
class SweepOutcome:
    """The sweep, and whether it is the one of an earlier call with the same key."""

    view: SweepView
    is_replay: bool = False


def submit(
    context: ServiceContext, workspace: str, submission: SweepSubmission, key: str | None
) -> SweepOutcome:
    """Save a job for each spec and ring for the workers.

    Raises:
        NotFoundError: the model or a dataset is not there.
        InvalidDatasetError: a dataset does not fit the model.
        ConflictError: a call with the same key still runs.
        InvalidRequestError: the key was used for another request, or gates contradict each other.
    """
    specs = [_with_gates(spec, submission.best_by) for spec in submission.specs]
    for spec, pointer in zip(specs, submission.pointers, strict=True):
        check_budget(spec, context.settings.job_time_limit_seconds, pointer)
    with once(context, workspace, key, submission.fingerprint) as earlier:
        if earlier is not None:
            assert earlier.sweep_id is not None  # noqa: S101 - no job has a sweep's fingerprint
            return SweepOutcome(get(context, workspace, earlier.sweep_id), is_replay=True)
        sweep_id = _add(context, workspace, submission, specs, key)
        return SweepOutcome(get(context, workspace, sweep_id))


def list(  # noqa: A001 - as in the repositories
    context: ServiceContext, workspace: str, model_id: str | None, cursor: str | None, limit: int
) -> tuple[Sequence[Standing], str | None]:
    """Return a page of the workspace's sweeps, newest first, and where the next one starts."""
    with reading(context.session_factory) as session:
        page: Page[SweepRow] = sweeps.list(session, workspace, model_id, cursor, limit)
        counts = sweeps.count_states(session, [row.id for row in page.items])
    return [Standing(row, counts[row.id]) for row in page.items], page.next_cursor


def look(context: ServiceContext, workspace: str, sweep_id: str) -> Standing:
    """Return how a sweep stands.

    Raises:
        NotFoundError: there is no such sweep in the workspace.
    """
    with reading(context.session_factory) as session:
        row = sweeps.get(session, workspace, sweep_id)
        return Standing(row, sweeps.count_states(session, [sweep_id])[sweep_id])


def get(context: ServiceContext, workspace: str, sweep_id: str) -> SweepView:
    """Return a sweep with its jobs and their comparison; errors as for `look`."""
    with reading(context.session_factory) as session:
        row = sweeps.get(session, workspace, sweep_id)
        counts = sweeps.count_states(session, [sweep_id])[sweep_id]
        rows = sweeps.jobs_of(session, sweep_id)
    best_by = None if row.best_by is None else BestBy.model_validate(row.best_by)
    return SweepView(Standing(row, counts), rows, compare(rows, best_by), best_by)


def cancel(context: ServiceContext, workspace: str, sweep_id: str) -> SweepView:
    """Cancel all jobs that are queued or running; one that is being cancelled stays so.

    Raises:
        NotFoundError: there is no such sweep in the workspace.
        ConflictError: all its jobs have ended.
    """
    retention = context.settings.retention
    with context.session_factory.begin() as session:
        row = sweeps.get_locked(session, workspace, sweep_id)
        moved = sweeps.cancel_jobs(session, row, retention=retention)
        standing = Standing(row, sweeps.count_states(session, [sweep_id])[sweep_id])
    note_cancelled(moved)
    if not moved and standing.is_over:
        raise ConflictError(
            "all jobs of the sweep have ended, so there is nothing to cancel", code="sweep_ended"
        )
    return get(context, workspace, sweep_id)


def retry(context: ServiceContext, workspace: str, sweep_id: str) -> SweepView:
    """Queue all failed and cancelled jobs again.

    Raises:
        NotFoundError: there is no such sweep in the workspace.
        ConflictError: no job has failed or was cancelled, or what they need was deleted.
    """
    resend_seconds = context.settings.resend_seconds
    with context.session_factory.begin() as session:
        row = sweeps.get_locked(session, workspace, sweep_id)
        moved = sweeps.retry_jobs(session, row, resend_seconds=resend_seconds)
        if not moved:
            raise ConflictError(
                "no job of the sweep has failed or was cancelled, so there is nothing to retry",
                code="sweep_not_retryable",
            )
        require_uploads(session, row)
    in_order = sorted(moved, key=lambda job: job.sweep_position or 0)
    note("job.retried", in_order)
    send(context, [job.id for job in in_order])
    return get(context, workspace, sweep_id)


def _add(
    context: ServiceContext,
    workspace: str,
    submission: SweepSubmission,
    specs: Sequence[Spec],
    key: str | None,
) -> str:
    """Save the sweep and its jobs, all or none, and ring; return its id."""
    best_by = submission.best_by
    new_sweep = NewSweep(
        workspace=workspace,
        model_id=submission.model_id,
        calibration_dataset_id=submission.calibration_dataset_id,
        evaluation_dataset_id=submission.evaluation_dataset_id,
        labels=submission.labels,
        best_by=None if best_by is None else best_by.model_dump(mode="json"),
        differences=[*submission.differences],
    )
    with context.session_factory.begin() as session:
        model = models.get_locked(session, workspace, submission.model_id)
        needed = (new_sweep.calibration_dataset_id, new_sweep.evaluation_dataset_id)
        datasets.hold_fitting(session, workspace, needed, model)
        row = sweeps.add(session, new_sweep)
        new_jobs = [
            NewJob(
                workspace=workspace,
                model_id=row.model_id,
                spec=spec.model_dump(mode="json"),
                calibration_dataset_id=row.calibration_dataset_id,
                evaluation_dataset_id=row.evaluation_dataset_id,
                labels=row.labels,
                sweep_id=row.id,
                sweep_position=position,
            )
            for position, spec in enumerate(specs)
        ]
        added = jobs.add_all(session, new_jobs, resend_seconds=context.settings.resend_seconds)
        if key is not None:
            idempotency.complete(session, workspace, key, sweep_id=row.id)
    note("job.submitted", added)
    send(context, [job.id for job in added])
    return row.id


def _with_gates(spec: Spec, best_by: BestBy | None) -> Spec:
    """Return the spec with the sweep's gates beside its own, so that each verdict is about both.

    Raises:
        InvalidRequestError: a gate is set in both, with different limits.
    """
    if best_by is None:
        return spec
    ours, theirs = (it.model_dump(exclude_none=True) for it in (best_by.within, spec.verdict_gates))
    limits = (*theirs.pop("limits"), *ours.pop("limits"))
    for gate in ours.keys() & theirs.keys():
        if ours[gate] != theirs[gate]:
            detail = "a spec sets this gate to another limit; set it in one place"
            errors = [FieldError(f"#/best_by/within/{gate}", detail)]
            raise InvalidRequestError(f"best_by/within/{gate}: {detail}", errors=errors)
    gates = Gates.model_validate(theirs | ours | {"limits": limits})
    return spec.with_gates(gates)
