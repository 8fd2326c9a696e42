"""The tables; ORM classes end in `Row` because `model` means an ONNX model here."""

from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.db import UtcDateTime

JobState = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
Alternative = Literal["alternative_1", "alternative_2"]
ALTERNATIVES: tuple[Alternative, ...] = get_args(Alternative)
"""What a job with a goal found besides its choice, the best first."""
ArtifactKind = Literal["model", "report"] | Alternative
JsonObject = dict[str, Any]


class Base(DeclarativeBase):
    """Declarative base with named constraints, so that migrations can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it as an instance attribute
        datetime: UtcDateTime,
        JsonObject: JSON(none_as_null=True),
        dict[str, str]: JSON(none_as_null=True),
        list[JsonObject]: JSON(none_as_null=True),
    }


class ModelRow(Base):
    """An uploaded model; one row for the same bytes in a workspace."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("workspace", "sha256"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str]
    info: Mapped[JsonObject]
    """`worker.engine.operations.ModelInfo`."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class PreflightRow(Base):
    """What a preflight answered, kept for as long as a model has these bytes."""

    __tablename__ = "preflights"

    model_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    engine: Mapped[str] = mapped_column(primary_key=True)
    """The versions of what made it; another engine may foretell something else."""
    contents: Mapped[JsonObject]
    """`worker.engine.operations.Preflight`."""
    created_at: Mapped[datetime]


class DatasetRow(Base):
    """An uploaded dataset; one row for the same bytes and transform in a workspace."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("workspace", "sha256", "transform_sha256"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    transform_sha256: Mapped[str] = mapped_column(String(64), default="")
    transform: Mapped[JsonObject | None]
    """The image transform given beside the archive, where it was not inside."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str]
    info: Mapped[JsonObject]
    """`worker.engine.operations.DatasetInfo`."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class SweepRow(Base):
    """Several specs tried on one model, a job each; how it stands is what its jobs say."""

    __tablename__ = "sweeps"
    __table_args__ = (Index("ix_sweeps_workspace_id", "workspace", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    model_id: Mapped[str]
    calibration_dataset_id: Mapped[str | None]
    evaluation_dataset_id: Mapped[str | None]
    labels: Mapped[dict[str, str]]
    best_by: Mapped[JsonObject | None]
    """What the best job is to be the best in."""
    differences: Mapped[list[JsonObject]]
    """For each job, in their order, where its spec is unlike the others': JSON pointer to value."""
    created_at: Mapped[datetime]


class JobRow(Base):
    """A compression job; this row, and no message, is the truth about it."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_workspace_id", "workspace", "id"),
        Index("ix_jobs_state_next_send_at", "state", "next_send_at"),
        Index("ix_jobs_state_lease_expires_at", "state", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str]
    model_id: Mapped[str] = mapped_column(index=True)
    """No foreign key, nor on the datasets: a finished job outlives what it was made from."""
    calibration_dataset_id: Mapped[str | None] = mapped_column(index=True)
    evaluation_dataset_id: Mapped[str | None] = mapped_column(index=True)
    spec: Mapped[JsonObject]
    """With all defaults filled in."""
    labels: Mapped[dict[str, str]]
    sweep_id: Mapped[str | None] = mapped_column(index=True)
    """No foreign key: SQLite could add it only by making the table anew, which loses artifacts."""
    sweep_position: Mapped[int | None]
    """Its place among the specs of its sweep, from 0."""

    state: Mapped[JobState] = mapped_column(String(16))
    stage: Mapped[str | None]
    progress: Mapped[float] = mapped_column(default=0.0)

    attempt: Mapped[int] = mapped_column(default=0)
    """Claims so far; a lost worker and a crash both cost one."""
    crashes: Mapped[int] = mapped_column(default=0)
    """Attempts that ended with the child process killed from outside."""
    token: Mapped[str | None]
    """Fences the running attempt: a writer whose token is not this one has lost the job."""
    lease_expires_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    """Messages sent for this job since it was last queued."""
    next_send_at: Mapped[datetime | None]
    """When the reaper sends a queued job again."""

    verdict: Mapped[JsonObject | None]
    metrics: Mapped[JsonObject | None]
    """The report's headline figures, queryable."""
    error: Mapped[JsonObject | None]
    """RFC 9457 problem details."""

    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    """When it last entered the queue: by submission, retry or release."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class ArtifactRow(Base):
    """A file a job produced: the compressed model, an alternative to it, or the report."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[ArtifactKind] = mapped_column(String(16), primary_key=True)
    file_name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    storage_key: Mapped[str]
    created_at: Mapped[datetime]


class ApiKeyRow(Base):
    """An API key; only the SHA-256 of its secret is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The public part of the key."""
    workspace: Mapped[str]
    name: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str]
    """Space-separated: `read`, `write`."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class IdempotencyRow(Base):
    """An `Idempotency-Key` and what came of its request: neither id while the first call runs."""

    __tablename__ = "idempotency_keys"

    workspace: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    sweep_id: Mapped[str | None] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
