"""What a job measured, as gates and the verdict see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.engine.report.contents import ModelMeasures
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.report.timings import Latency
from worker.engine.samples import DataOrigin


@dataclass(frozen=True)
class Measurements:
    """What gates are held against; `data` is where the evaluation samples come from."""

    before: ModelMeasures
    after: ModelMeasures
    fidelity: Sequence[OutputFidelity]
    accuracy: Sequence[Score]
    latency: Latency | None
    data: DataOrigin
    others: Mapping[str, object] = field(default_factory=dict)
    """The report's other parts that hold figures, by their names there."""

    @property
    def size_ratio(self) -> float:
        """Compressed over original file size."""
        return self.after.size_bytes / self.before.size_bytes

    @property
    def latency_ratio(self) -> float | None:
        """Compressed over original latency."""
        return None if self.latency is None else self.latency.ratio

    @property
    def worst_score(self) -> Score | None:
        """The score that lost most, of those that are shares or correlations."""
        scores = [score for score in self.accuracy if score.drop is not None]
        return max(scores, key=lambda score: score.drop or 0.0, default=None)

    @property
    def accuracy_drop(self) -> float | None:
        """What the worst score lost."""
        score = self.worst_score
        return None if score is None else score.drop

    @property
    def parts(self) -> dict[str, object]:
        """What is known of the report, by the names of its parts."""
        return {
            "before": self.before,
            "after": self.after,
            "fidelity": self.fidelity,
            "accuracy": self.accuracy,
            "latency": self.latency,
            **self.others,
        }

    def worst(self, figure: Callable[[OutputFidelity], float | None]) -> float | None:
        """Return the least value of a fidelity figure over the outputs that have it."""
        values = [value for output in self.fidelity if (value := figure(output)) is not None]
        return min(values, default=None)
