"""The bodies of the API."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from app.api.problems import Problem
from app.repositories.jobs import TERMINAL_STATES
from app.tables import DatasetRow, JobRow, JobState, ModelRow
from worker.engine.requests import ArrayInfo, DatasetInfo, ModelInfo, TensorInfo
from worker.engine.spec import Spec

Item = TypeVar("Item", bound=BaseModel)

DatasetFormat = Literal["npz", "npz_archive", "images"]
LABEL_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
LABEL_VALUE = r"[^\x00-\x1f\x7f-\x9f]*"
Labels = Annotated[
    dict[
        Annotated[str, Field(max_length=63, pattern=f"^{LABEL_KEY}$")],
        Annotated[str, Field(max_length=255, pattern=f"^{LABEL_VALUE}$")],
    ],
    Field(max_length=64, examples=[{"team": "vision"}]),
]
Id = Annotated[str, Field(max_length=64, pattern=r"^[a-z]+_[a-z0-9]+$")]


class Body(BaseModel):
    """A body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Page(Body, Generic[Item]):
    """A page of a list, newest first."""

    items: list[Item]
    next_cursor: str | None
    """Give it as `cursor` for the next page; null on the last one."""


class Model(Body):
    """An uploaded model."""

    id: str = Field(examples=["model_019a5f2c41d03f9e2b7c4a5d6e8f"])
    name: str = Field(examples=["digits.onnx"])
    sha256: str
    size_bytes: int
    """Of the uploaded file."""
    opset: int
    ir_version: int
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    op_counts: dict[str, int]
    parameter_count: int
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, row: ModelRow) -> "Model":
        """Return the body of a row."""
        info = ModelInfo.model_validate(row.info).model_dump(exclude={"size_bytes"})
        return cls(
            id=row.id,
            name=row.name,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            created_at=row.created_at,
            expires_at=row.expires_at,
            **info,
        )


class Dataset(Body):
    """An uploaded dataset."""

    id: str = Field(examples=["dataset_019a5f2c41d03f9e2b7c4a5d6e8f"])
    name: str = Field(examples=["calibration.npz"])
    sha256: str
    size_bytes: int
    format: DatasetFormat
    sample_count: int
    arrays: list[ArrayInfo]
    """Dtype and shape of one sample's arrays."""
    has_labels: bool
    transform: dict[str, Any] | None
    """The image transform that was given beside the archive."""
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, row: DatasetRow) -> "Dataset":
        """Return the body of a row."""
        return cls(
            id=row.id,
            name=row.name,
            sha256=row.sha256,
            size_bytes=row.size_bytes,
            transform=row.transform,
            created_at=row.created_at,
            expires_at=row.expires_at,
            **DatasetInfo.model_validate(row.info).model_dump(),
        )


class JobRequest(Body):
    """What to compress, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "model_019a5f2c41d03f9e2b7c4a5d6e8f",
                    "spec": {
                        "passes": [{"method": "static_quantization"}],
                        "gates": {"max_size_ratio": 0.35, "min_sqnr_db": 20},
                    },
                    "calibration_dataset_id": "dataset_019a5f2c41d03f9e2b7c4a5d6e8f",
                    "labels": {"team": "vision"},
                }
            ]
        }
    )

    model_id: Id
    spec: Spec
    calibration_dataset_id: Id | None = None
    """Samples to calibrate on; left out, synthetic ones."""
    evaluation_dataset_id: Id | None = None
    """Held-out samples to judge the result by; left out, the calibration dataset's."""
    labels: Labels = {}
    """Your own keys and values, to filter lists by. A key has up to 63 ASCII letters and digits
    and, inside, `.`, `_`, `/` and `-`; a value up to 255 characters, none of them control ones."""


class JobParts(Body):
    """The texts of a one-call job: what is not a file."""

    spec: Spec
    labels: Labels = {}


class JobUrls(Body):
    """Where to go on; null where there is nothing (yet)."""

    self: str
    events: str
    cancel: str | None
    artifact: str | None
    alternatives: list[str] = []
    """Of a job with a goal: what was found besides the choice, the best first."""
    report: str | None


class Job(Body):
    """A compression job. A missed gate is a verdict, not a failure."""

    id: str = Field(examples=["job_019a5f2c41d03f9e2b7c4a5d6e8f"])
    state: JobState
    stage: str | None
    progress: float = Field(ge=0, le=1)
    model_id: str
    calibration_dataset_id: str | None
    evaluation_dataset_id: str | None
    spec: dict[str, Any]
    """With its defaults filled in."""
    labels: dict[str, str]
    sweep_id: str | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    verdict: dict[str, Any] | None
    """Whether every gate holds, and each gate's limit and measured value."""
    metrics: dict[str, Any] | None
    """The report's headline figures."""
    error: Problem | None
    urls: JobUrls

    @classmethod
    def of(cls, row: JobRow) -> "Job":
        """Return the body of a row."""
        return cls(
            id=row.id,
            state=row.state,
            stage=row.stage,
            progress=row.progress,
            model_id=row.model_id,
            calibration_dataset_id=row.calibration_dataset_id,
            evaluation_dataset_id=row.evaluation_dataset_id,
            spec=row.spec,
            labels=row.labels,
            sweep_id=row.sweep_id,
            attempt=row.attempt,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            expires_at=row.expires_at,
            verdict=row.verdict,
            metrics=row.metrics,
            error=None if row.error is None else Problem.model_validate(row.error),
            urls=_job_urls(row),
        )


class JobEvent(Body):
    """How a job is just now."""

    state: JobState
    stage: str | None
    progress: float = Field(ge=0, le=1)
    attempt: int


class Method(Body):
    """A compression method: an entry of a spec's `passes`."""

    name: str = Field(examples=["static_quantization"])
    description: str
    options_schema: dict[str, Any]
    """JSON Schema of the entry."""


class Limits(Body):
    """The limits in force."""

    max_upload_bytes: int
    max_unpacked_bytes: int
    max_unpacked_ratio: float
    job_time_limit_seconds: float
    operation_time_limit_seconds: int
    """One check, session load or run of a model."""
    memory_limit_factor: float
    """A job may use this many times the model's size ..."""
    memory_limit_base_bytes: int
    """... plus this."""
    max_sweep_jobs: int
    """Specs of one sweep."""
    retention_days: float | None


class Readiness(Body):
    """Whether the service can work, part by part."""

    ready: bool
    checks: dict[str, str]
    """`ok`, or what is wrong."""
    warnings: list[str]


def _job_urls(row: JobRow) -> JobUrls:
    base = f"/v1/jobs/{row.id}"
    has_result = row.state == "succeeded"
    return JobUrls(
        self=base,
        events=f"{base}/events",
        cancel=None if row.state in TERMINAL_STATES else f"{base}/cancel",
        artifact=f"{base}/artifact" if has_result else None,
        alternatives=[
            f"{base}/artifact?alternative={number + 1}"
            for number in range((row.metrics or {}).get("alternatives", 0))
        ],
        report=f"{base}/report" if has_result else None,
    )
