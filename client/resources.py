"""What the service answers, as typed values; fields added by newer services are ignored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override


class Resource(BaseModel):
    """A frozen answer of the service."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class FieldProblem(Resource):
    """One wrong field of a request: a JSON pointer, and what is wrong there."""

    pointer: str
    detail: str


class Problem(Resource):
    """RFC 9457 problem details; `detail` says what to change."""

    title: str = "Error"
    status: int
    detail: str = ""
    code: str = "unknown"
    errors: list[FieldProblem] = []
    request_id: str | None = None

    @override
    def __str__(self) -> str:
        lines = [self.detail or self.title, *(f"{e.pointer}: {e.detail}" for e in self.errors)]
        return f"{'; '.join(lines)} ({self.status} {self.code})"


class Tensor(Resource):
    """A graph input or output; a dimension is a size, a symbol or None where unknown."""

    name: str
    dtype: str
    shape: list[int | str | None] | None


class Model(Resource):
    """An uploaded model."""

    id: str
    name: str
    sha256: str
    size_bytes: int
    opset: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    op_counts: dict[str, int]
    parameter_count: int
    created_at: datetime


class Dataset(Resource):
    """An uploaded dataset."""

    id: str
    name: str
    sha256: str
    size_bytes: int
    sample_count: int
    has_labels: bool
    created_at: datetime


class Verdict(Resource):
    """Whether every gate holds, in one sentence for people, with each gate's figures."""

    passed: bool
    summary: str
    gates: list[dict[str, Any]]
    warnings: list[str]


JobState = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class Job(Resource):
    """A compression job."""

    id: str
    state: JobState
    stage: str | None
    progress: float
    model_id: str
    spec: dict[str, Any]
    labels: dict[str, str]
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    verdict: Verdict | None
    metrics: dict[str, Any] | None
    error: Problem | None

    @property
    def is_terminal(self) -> bool:
        """Whether the state only changes by a retry."""
        return self.state in {"succeeded", "failed", "cancelled"}


class SweepJob(Resource):
    """A job of a sweep: where its spec is unlike the others', and what came of it."""

    id: str
    state: JobState
    progress: float
    difference: dict[str, Any]
    size_bytes: int | None
    size_ratio: float | None
    latency_ratio: float | None
    min_sqnr_db: float | None
    accuracy_drop: float | None
    scores: list[dict[str, Any]]
    verdict: Verdict | None
    on_pareto_front: bool
    error: Problem | None


class BestJob(Resource):
    """The best job of a sweep by its wish, or none, and why."""

    id: str | None
    reason: str


SweepState = Literal[
    "queued", "running", "cancelling", "succeeded", "partly_failed", "failed", "cancelled"
]


class Sweep(Resource):
    """Several specs over one model, a job each, and their comparison."""

    id: str
    state: SweepState
    progress: float
    model_id: str
    labels: dict[str, str]
    created_at: datetime
    jobs: list[SweepJob]
    quality: str | None
    pareto_front: list[str]
    best: BestJob | None

    @property
    def is_terminal(self) -> bool:
        """Whether all its jobs have ended."""
        return self.state not in {"queued", "running", "cancelling"}
