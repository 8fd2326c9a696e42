"""What several jobs over one model came to, side by side: the front, and the best by a wish.

Figures are compared as they are shown, rounded: a thousandth of the latency is no advantage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.tables import JobRow, JsonObject
from worker.engine.decibels import EQUAL_DB
from worker.engine.pareto import pareto_front
from worker.engine.spec import Gates

Quality = Literal["accuracy_drop", "min_sqnr_db", "min_agreement"]
"""By which figure the answers are judged: the first of these that all results have."""

SUPERLATIVES = {"size": "smallest", "latency": "fastest", "balanced": "best balanced"}
TIED_WITHIN = 1.05
"""Jobs are timed at different moments, each beside its original: costs with a latency in them that
are no further apart than so do not tell which job is the best."""


class BestBy(BaseModel):
    """How to name the best job: of those whose gates all hold, the one with the smallest figure."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    minimize: Literal["size", "latency", "balanced"]
    """The file, the time of one run, or both: `balanced` weighs a file half as large as much as a
    run half as long."""
    within: Gates = Gates()
    """Gates for every job of the sweep, beside those of its own spec."""


@dataclass(frozen=True)
class Figures:
    """A finished job's figures; None where a figure was not measured."""

    size_bytes: int
    size_ratio: float
    latency_ratio: float | None
    min_sqnr_db: float | None
    """200 stands for equal answers."""
    min_agreement: float | None
    accuracy_drop: float | None
    scores: Sequence[JsonObject]
    data: str | None

    @classmethod
    def of(cls, job: JobRow) -> "Figures | None":
        """Return the figures of a job; None where it has not succeeded."""
        if job.state != "succeeded" or job.metrics is None:
            return None
        find = job.metrics.get
        return cls(
            size_bytes=job.metrics["size_bytes_after"],
            size_ratio=round(job.metrics["size_ratio"], 4),
            latency_ratio=_rounded(find("latency_ratio"), 2),
            min_sqnr_db=EQUAL_DB if find("is_equal") else _rounded(find("min_sqnr_db"), 1),
            min_agreement=_rounded(find("min_agreement"), 4),
            accuracy_drop=_rounded(find("accuracy_drop"), 4),
            scores=find("scores") or [],
            data=find("data"),
        )

    def loss(self, quality: Quality) -> float | None:
        """Return how bad the answers are; smaller is better."""
        value: float | None = getattr(self, quality)
        return value if value is None or quality == "accuracy_drop" else -value

    def cost(self, minimize: Literal["size", "latency", "balanced"]) -> float | None:
        """Return what a wish asks to be small."""
        if minimize == "size":
            return self.size_ratio
        if minimize == "latency" or self.latency_ratio is None:
            return self.latency_ratio
        return self.size_ratio * self.latency_ratio


@dataclass(frozen=True)
class Best:
    """The best job, or None, and why."""

    job_id: str | None
    reason: str


@dataclass(frozen=True)
class Comparison:
    """What the succeeded jobs say of each other; ids of jobs."""

    figures: dict[str, Figures]
    quality: Quality | None
    """None where no job measured any."""
    front: frozenset[str]
    """Jobs that no other beats on size, latency and quality at once."""
    best: Best | None
    """None where nothing was wished for."""


def compare(jobs: Sequence[JobRow], best_by: BestBy | None) -> Comparison:
    """Compare the jobs of a sweep, as far as they have come."""
    figures = {job.id: found for job in jobs if (found := Figures.of(job)) is not None}
    quality = _quality_of(list(figures.values()))
    points = [
        (it.size_ratio, it.latency_ratio, None if quality is None else it.loss(quality))
        for it in figures.values()
    ]
    ids = list(figures)
    return Comparison(
        figures=figures,
        quality=quality,
        front=frozenset(ids[index] for index in pareto_front(points)),
        best=None if best_by is None else _best(jobs, figures, quality, best_by),
    )


def _quality_of(figures: Sequence[Figures]) -> Quality | None:
    """Return the first measure that all results have, else the first that any has."""
    measures: tuple[Quality, ...] = ("accuracy_drop", "min_sqnr_db", "min_agreement")
    enough: tuple[Callable[[list[bool]], bool], ...] = (all, any)
    for suffices in enough:
        for measure in measures:
            if figures and suffices([getattr(it, measure) is not None for it in figures]):
                return measure
    return None


def _best(
    jobs: Sequence[JobRow], figures: dict[str, Figures], quality: Quality | None, best_by: BestBy
) -> Best:
    """Return the job that keeps its gates at the least cost; of equal ones, the first."""
    if not figures:
        return Best(None, "no job has succeeded yet" if _goes_on(jobs) else "no job succeeded")
    if all(it.cost(best_by.minimize) is None for it in figures.values()):
        return Best(None, "latency was not measured; leave evaluation.latency at its default")
    measured = [job for job in jobs if job.id in figures]
    order = {job.id: _order(figures[job.id], quality, best_by) for job in measured}
    holding = [job for job in measured if not _missed(job)]
    if not holding:
        closest = min(measured, key=lambda job: (len(_missed(job)), order[job.id]))
        return Best(None, f"no job keeps its gates; the closest is {_named(closest)}")
    best = min(holding, key=lambda job: order[job.id])
    so_far = ", so far" if _goes_on(jobs) else ""
    if len(holding) == 1:
        return Best(best.id, f"the only job whose gates hold{so_far}")
    reason = f"the {SUPERLATIVES[best_by.minimize]} of {len(holding)} jobs whose gates hold"
    tied = _tied_with(best, holding, figures, best_by.minimize)
    if len(tied) > 1:
        best = min(tied, key=lambda job: _order_of_tied(figures[job.id], quality))
        reason += (
            f", taken from {len(tied)} whose timings are too close to tell: its answers are closer,"
            " or as close in a file that is no larger"
        )
    return Best(best.id, reason + so_far)


def _tied_with(
    best: JobRow,
    jobs: Sequence[JobRow],
    figures: dict[str, Figures],
    minimize: Literal["size", "latency", "balanced"],
) -> list[JobRow]:
    """Return the jobs that their timings do not tell from the best; sizes are exact."""
    least = figures[best.id].cost(minimize)
    if minimize == "size" or least is None:
        return [best]
    costs = {job.id: figures[job.id].cost(minimize) for job in jobs}
    return [
        job for job in jobs if (cost := costs[job.id]) is not None and cost <= TIED_WITHIN * least
    ]


def _order_of_tied(figures: Figures, quality: Quality | None) -> tuple[float, float, float]:
    """Return what one of several equally fast jobs is chosen by, as a search does: answers first.

    Whole decibels come before scores, which may gain or lose a sample by luck.
    """
    loss = None if quality is None else figures.loss(quality)
    decibels = 0.0 if figures.min_sqnr_db is None else round(figures.min_sqnr_db)
    return -decibels, inf if loss is None else loss, figures.size_ratio


def _order(
    figures: Figures, quality: Quality | None, best_by: BestBy
) -> tuple[float, float, float, float]:
    """Return what a job is chosen by; what was not measured comes last."""
    loss = None if quality is None else figures.loss(quality)
    costs = (figures.cost(best_by.minimize), figures.size_ratio, figures.latency_ratio, loss)
    first, second, third, fourth = (inf if cost is None else cost for cost in costs)
    return first, second, third, fourth


def _missed(job: JobRow) -> list[JsonObject]:
    verdict = job.verdict or {"gates": []}
    return [gate for gate in verdict["gates"] if not gate["passed"]]


def _named(job: JobRow) -> str:
    return f"{job.id}, which misses " + ", ".join(
        f"{gate['gate']}: {gate['detail']}" for gate in _missed(job)
    )


def _goes_on(jobs: Sequence[JobRow]) -> bool:
    return any(job.state in {"queued", "running"} for job in jobs)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
