"""The bodies of sweeps."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.api.problems import Problem
from app.api.schemas import Body, Id, Labels
from app.services.comparing import BestBy, Quality
from app.services.sweeps import Standing, SweepState, SweepView
from app.tables import JobRow, JobState
from worker.engine.spec import Spec

Place = Annotated[str, Field(max_length=300, pattern=r"^(/([^/~]|~[01])+)+$")]


class SweepRequest(Body):
    """Several specs to try on one model: either `specs`, or `spec` and `grid`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model_id": "model_019a5f2c41d03f9e2b7c4a5d6e8f",
                    "spec": {"passes": [{"method": "weight_quantization"}]},
                    "grid": {"/passes/0/bits": [8, 4], "/passes/0/block_size": [32, 64]},
                    "evaluation_dataset_id": "dataset_019a5f2c41d03f9e2b7c4a5d6e8f",
                    "best_by": {"minimize": "size", "within": {"max_accuracy_drop": 0.01}},
                }
            ]
        }
    )

    model_id: Id
    specs: Annotated[list[Spec], Field(min_length=1)] | None = None
    """The specs, a job each."""
    spec: Spec | None = None
    """What all specs of the grid have in common."""
    grid: (
        Annotated[
            dict[Place, Annotated[list[Any], Field(min_length=1)]],
            Field(min_length=1, max_length=16),
        ]
        | None
    ) = None
    """Places in `spec`, as JSON pointers, and the values to try there: a job for each combination.
    A place may be any field that the spec has, given or by default."""
    calibration_dataset_id: Id | None = None
    """Samples to calibrate on, for every job."""
    evaluation_dataset_id: Id | None = None
    """Held-out samples to judge every result by; left out, the calibration dataset's."""
    labels: Labels = Field(default_factory=dict)
    """Your own keys and values, for the sweep and each of its jobs."""
    best_by: BestBy | None = None
    """What the best of the jobs is to be the best in; left out, none is named."""


class SweepCounts(Body):
    """How many jobs are in each state."""

    queued: int = 0
    running: int = 0
    cancelling: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class SweepSummary(Body):
    """A sweep, without its jobs."""

    id: str = Field(examples=["sweep_019a5f2c41d03f9e2b7c4a5d6e8f"])
    state: SweepState
    """`partly_failed` where some jobs succeeded and some failed; `cancelled` as soon as one was."""
    progress: float = Field(ge=0, le=1)
    model_id: str
    calibration_dataset_id: str | None
    evaluation_dataset_id: str | None
    labels: dict[str, str]
    best_by: BestBy | None
    job_counts: SweepCounts
    created_at: datetime

    @classmethod
    def of(cls, standing: Standing) -> "SweepSummary":
        """Return the body of a row and its jobs' states."""
        return cls(**_summary(standing))


class SweepJob(Body):
    """A job of a sweep: what it tried, and what came of it; null where there is nothing (yet)."""

    id: str
    state: JobState
    stage: str | None
    progress: float = Field(ge=0, le=1)
    difference: dict[str, Any]
    """Where its spec is unlike the others': JSON pointers into the spec, and its values there."""
    size_bytes: int | None
    """Of the compressed model."""
    size_ratio: float | None
    """Compressed over original file size."""
    latency_ratio: float | None
    """Compressed over original latency."""
    min_sqnr_db: float | None
    """Of the worst output or part of one; 200 stands for equal answers."""
    min_agreement: float | None
    """Share of equal values, of the worst output that is not floating point."""
    accuracy_drop: float | None
    """The largest loss of a score."""
    scores: list[dict[str, Any]]
    """Each score of the original and the compressed model."""
    verdict: dict[str, Any] | None
    on_pareto_front: bool
    """Whether no other job is better in size, latency and quality at once."""
    error: Problem | None
    url: str

    @classmethod
    def of(cls, row: JobRow, view: SweepView) -> "SweepJob":
        """Return the body of a job's row."""
        figures = view.comparison.figures.get(row.id)
        return cls(
            id=row.id,
            state=row.state,
            stage=row.stage,
            progress=row.progress,
            difference=view.standing.row.differences[row.sweep_position or 0],
            size_bytes=figures and figures.size_bytes,
            size_ratio=figures and figures.size_ratio,
            latency_ratio=figures and figures.latency_ratio,
            min_sqnr_db=figures and figures.min_sqnr_db,
            min_agreement=figures and figures.min_agreement,
            accuracy_drop=figures and figures.accuracy_drop,
            scores=[] if figures is None else [*figures.scores],
            verdict=row.verdict,
            on_pareto_front=row.id in view.comparison.front,
            error=None if row.error is None else Problem.model_validate(row.error),
            url=f"/v1/jobs/{row.id}",
        )


class BestJob(Body):
    """The best job by `best_by`; of those that have ended, while others still run."""

    id: str | None
    """Null where no job keeps its gates."""
    reason: str


class SweepUrls(Body):
    """Where to go on; null where there is nothing."""

    self: str
    jobs: str
    cancel: str | None
    retry: str | None


class Sweep(SweepSummary):
    """A sweep and the comparison of its jobs, in the order of their specs."""

    jobs: list[SweepJob]
    quality: Quality | None
    """By which figure the front judges answers: the first that all finished jobs have."""
    pareto_front: list[str]
    """Ids of the jobs that no other beats in size, latency and quality at once."""
    best: BestJob | None
    """Null without `best_by`."""
    urls: SweepUrls

    @classmethod
    def of_view(cls, view: SweepView) -> "Sweep":
        """Return the body of a sweep with its jobs."""
        comparison, best = view.comparison, view.comparison.best
        base = f"/v1/sweeps/{view.standing.row.id}"
        may_retry = {"failed", "cancelled"} & set(view.standing.counts)
        return cls(
            **_summary(view.standing),
            jobs=[SweepJob.of(row, view) for row in view.jobs],
            quality=comparison.quality,
            pareto_front=[row.id for row in view.jobs if row.id in comparison.front],
            best=None if best is None else BestJob(id=best.job_id, reason=best.reason),
            urls=SweepUrls(
                self=base,
                jobs=f"/v1/jobs?sweep_id={view.standing.row.id}",
                cancel=None if view.standing.is_over else f"{base}/cancel",
                retry=f"{base}/retry" if may_retry else None,
            ),
        )


def _summary(standing: Standing) -> dict[str, Any]:
    row = standing.row
    return {
        "id": row.id,
        "state": standing.state,
        "progress": standing.progress,
        "model_id": row.model_id,
        "calibration_dataset_id": row.calibration_dataset_id,
        "evaluation_dataset_id": row.evaluation_dataset_id,
        "labels": row.labels,
        "best_by": row.best_by,
        "job_counts": {state: count.jobs for state, count in standing.counts.items()},
        "created_at": row.created_at,
    }
