"""The service's settings: one class, read once from `ONNXPRESS_*` variables."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

GIB = 2**30


class Settings(BaseSettings):
    """Everything that can be configured; sizes in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="ONNXPRESS_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    data_dir: Path = Path("onnxpress-data")
    """Folder of everything the embedded default keeps: database, storage, broker log, spool."""
    database_url: str | None = None
    """SQLAlchemy URL of SQLite or PostgreSQL; left out, `onnxpress.db` in the data folder."""
    storage_url: str | None = None
    """`file:///folder` or `s3://bucket/prefix`; left out, `storage` in the data folder."""
    redis_url: str | None = None
    """Valkey or Redis, `redis://host/1` or `redis+socket:///path`; left out, the bundled Valkey."""
    s3_endpoint: str | None = None
    """Endpoint of an S3-compatible store; credentials come from the usual `AWS_*` variables."""

    auth: Literal["keys", "none"] = "none"
    """`none` serves one workspace without keys, and is refused on a public address."""

    max_upload_bytes: Annotated[int, Field(gt=0)] = 4 * GIB
    upload_idle_seconds: Annotated[float, Field(gt=0)] = 60
    """A client that sends nothing of its body for this long is given up."""
    max_unpacked_bytes: Annotated[int, Field(gt=0)] = 8 * GIB
    max_unpacked_ratio: Annotated[float, Field(gt=1)] = 50
    """Unpacked over packed size of an archive."""

    job_time_limit_seconds: Annotated[float, Field(gt=0)] = 3600
    operation_time_limit_seconds: Annotated[int, Field(gt=0)] = 60
    """One check, session load or run of a model."""
    memory_limit_factor: Annotated[float, Field(gt=0)] = 12
    """A job may use this many times the model's size ..."""
    memory_limit_base_bytes: Annotated[int, Field(gt=0)] = 2 * GIB
    """... plus this."""
    validation_concurrency: Annotated[int, Field(gt=0)] = 2
    """Uploads checked at the same time by one API process."""
    validation_wait_seconds: Annotated[float, Field(gt=0)] = 300
    """An upload whose check cannot begin for this long is refused, to be sent again later."""
    worker_concurrency: Annotated[int, Field(gt=0)] = 1
    """Jobs at the same time in one worker; more than one disturbs the latency measurements."""
    cache_max_bytes: Annotated[int, Field(ge=0)] = 2 * GIB
    """What a worker's host keeps of earlier jobs, calibration above all, to speed up later ones
    over the same model; the models used least recently go first. 0 keeps nothing."""
    execution_provider: Literal["cpu", "cuda"] = "cpu"
    """What a job uses that does not ask for one."""

    lease_seconds: Annotated[float, Field(gt=0)] = 15
    """A running job whose worker is silent for this long is taken over."""
    heartbeat_seconds: Annotated[float, Field(gt=0)] = 1
    """How often a worker extends its lease and looks for a cancellation."""
    reaper_seconds: Annotated[float, Field(gt=0)] = 5
    """How often a worker looks for unsent, lapsed and expired rows."""
    shutdown_seconds: Annotated[float, Field(ge=0)] = 20
    """How long a stopping worker lets its job finish before it hands the job back."""
    resend_seconds: Annotated[float, Field(gt=0)] = 30
    """A queued job is sent again after this long, then after twice as long, up to an hour."""
    max_crashes: Annotated[int, Field(gt=0)] = 3
    """Attempts of a job whose child process is killed from outside."""
    max_attempts: Annotated[int, Field(gt=0)] = 10
    """Attempts of a job altogether, lost workers included."""

    retention_days: Annotated[float, Field(gt=0)] | None = None
    """Models, datasets and finished jobs are deleted after this; left out, never."""
    max_sweep_jobs: Annotated[int, Field(gt=0)] = 64
    """Specs of one sweep."""
    idempotency_hours: Annotated[float, Field(gt=0)] = 24
    """How long an `Idempotency-Key` is remembered."""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @cached_property
    def resolved_database_url(self) -> str:
        """The database in force."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'onnxpress.db'}"

    @cached_property
    def resolved_storage_url(self) -> str:
        """The storage in force."""
        return self.storage_url or (self.data_dir.resolve() / "storage").as_uri()

    @cached_property
    def retention(self) -> timedelta | None:
        """How long finished work is kept; None for ever."""
        return None if self.retention_days is None else timedelta(days=self.retention_days)

    def memory_limit_bytes(self, model_bytes: int) -> int:
        """Return the memory that work on a model of this unpacked size may use."""
        return int(self.memory_limit_factor * model_bytes) + self.memory_limit_base_bytes
