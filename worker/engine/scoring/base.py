"""What every metric is: its options, what it keeps of each run, and its score of any weighting."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

from worker.engine.samples import Array

Floats = npt.NDArray[np.float64]
Unit = Literal["share", "correlation", "none"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
MAX_KEPT_VALUES = 2 * 10**7
"""Of a metric that has to keep each scored number until the end."""


class MisfitError(Exception):
    """An output cannot be scored against these labels; the message says why."""


@dataclass(frozen=True)
class Answer:
    """One run's output and the labels of its samples, whose first axis counts them.

    `number` is the first sample's place in the dataset, `other` the second output where a metric
    compares two.
    """

    output: Array
    labels: Array
    number: int = 0
    other: Array | None = None


class Scored(ABC):
    """What a metric kept of all samples."""

    samples: int
    """How many there are to be drawn; each may be left out, or count more than once."""
    is_constant: bool = False
    """Whether the answers to all samples are the same, where their order is what is scored."""

    @property
    @abstractmethod
    def cost(self) -> int:
        """How many numbers one call of `score` looks at."""

    @abstractmethod
    def score(self, weights: Floats) -> float:
        """Return the score with sample `i` counted `weights[i]` times; NaN where undefined."""


class Tally(ABC):
    """What a metric has kept of the runs so far."""

    @abstractmethod
    def add(self, answer: Answer) -> None:
        """Take in one run.

        Raises:
            MisfitError: its output cannot be scored against its labels.
        """

    @abstractmethod
    def finish(self) -> Scored:
        """Return what was kept, ready to be scored."""


class Metric(BaseModel, ABC):
    """A score of an output against labels, declared in the spec."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    metric: str
    name: Name | None = None
    """What the report and gates call it; left out, the metric's own name."""
    output: Name | None = None
    """The graph output to score; left out, the first that fits."""
    labels: Name = "labels"
    """The array of the evaluation dataset that holds what is right: of the `.npz` or, beside
    images, of `labels.npz`; `labels` is also what `labels.csv` holds."""

    unit: ClassVar[Unit] = "share"
    larger_is_better: ClassVar[bool] = True
    undefined: ClassVar[str] = "the labels leave nothing to score"
    """Why a score may not exist, in words."""

    @abstractmethod
    def start(self) -> Tally:
        """Return a tally without runs."""

    def other_output(self) -> str | None:
        """Return the second output that an answer needs, None where one is enough."""
        return None


class SummedMetric(Metric, ABC):
    """A metric that a few sums over the samples decide."""

    @override
    def start(self) -> "SumTally":
        """Return a tally without runs."""
        return SumTally(self)

    @abstractmethod
    def sums(self, answer: Answer) -> Floats:
        """Return what each sample of a run adds, as (samples, sums).

        Raises:
            MisfitError: its output cannot be scored against its labels.
        """

    @abstractmethod
    def total(self, sums: Floats) -> float:
        """Return the score of the sums over all samples; NaN where undefined."""


class SumTally(Tally):
    """A few numbers for each sample."""

    def __init__(self, metric: SummedMetric) -> None:
        self._metric = metric
        self._rows: list[Floats] = []

    @override
    def add(self, answer: Answer) -> None:
        """Take in one run."""
        self._rows.append(self._metric.sums(answer))

    @override
    def finish(self) -> "SumScored":
        """Return the rows of all samples."""
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, 1))
        return SumScored(rows, self._metric.total)


class SumScored(Scored):
    """Rows of sums, one for each sample."""

    def __init__(self, rows: Floats, total: Callable[[Floats], float]) -> None:
        self._total = total
        self._rows = rows
        self.samples = len(rows)

    @property
    @override
    def cost(self) -> int:
        """How many numbers one call of `score` looks at."""
        return self._rows.size

    @override
    def score(self, weights: Floats) -> float:
        """Return the metric of the weighted sums."""
        return self._total(weights @ self._rows)


def ratio(part: float, whole: float) -> float:
    """Return a share; NaN of nothing."""
    return part / whole if whole else float("nan")


def finite(values: Array) -> Floats:
    """Return numbers as float64; what is not finite counts as zero.

    Raises:
        MisfitError: the values are no numbers.
    """
    if values.dtype.kind not in "fiub":
        raise MisfitError(f"values of dtype {values.dtype} are no numbers")
    return np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
