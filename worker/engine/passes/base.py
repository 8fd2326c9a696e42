"""What every compression method is: its options, its work and its result."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import onnx
from pydantic import BaseModel, ConfigDict

from worker.engine.cache import Cache
from worker.engine.runtime import ExecutionProvider
from worker.engine.samples import SampleSource
from worker.engine.weights.finding import Weight
from worker.engine.weights.rounding import Rounding


class SkippedNode(BaseModel):
    """A node that a pass left as it was."""

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True)
class PassContext:
    """What a pass may use besides the model.

    `workdir` is private, empty and removed afterwards. `samples` are the calibration samples.
    `report_progress` takes a stage (`calibrating`, `compressing`) and a fraction of that stage
    in [0, 1]; call it once a sample or node. `cache` keeps what only model, samples and options
    decide; it is empty unless the caller has a place for it.
    """

    workdir: Path
    samples: SampleSource
    report_progress: Callable[[str, float], None]
    seed: int = 0
    execution_provider: ExecutionProvider = "cpu"
    cache: Cache = field(default_factory=Cache)


@dataclass(frozen=True)
class Preview:
    """What a pass foretells its work from, where there are no samples and no time for every value.

    `whole` is the prepared model, which nobody may change; `part` is the same at the opset that the
    pass needs, with a part of each large weight, for the pass to change. `round_sample` rounds some
    channels of a weight in place of all, once for all passes. The context has no samples.
    """

    whole: onnx.ModelProto
    part: onnx.ModelProto
    context: PassContext
    round_sample: Callable[[Weight], Rounding]


@dataclass(frozen=True)
class PartResult:
    """A result with a part of each large weight, and the bytes that are missing of the whole.

    Left out, those follow from the types that the parts have in the result.
    """

    model: onnx.ModelProto
    missing_bytes: int | None = None


@dataclass(frozen=True)
class Outlook:
    """What a pass would do to a model.

    `results` are the ways that measured choices may go. The likeliest size lies between that of the
    first and of the last, of which the first counts `first_share`.
    """

    results: Sequence[PartResult]
    touched: Sequence[str]
    skipped: Sequence[SkippedNode]
    first_share: float = 1.0


class Pass(BaseModel, ABC):
    """A compression method: its fields are its options, `apply` is its work."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: str

    needs_samples: ClassVar[bool] = False
    """Whether `apply` reads `context.samples`."""

    minimum_opset: ClassVar[int] = 0
    """The lowest default-domain opset any of the pass's options can work at."""

    shrinks: ClassVar[Literal["size_bytes", "deflated_bytes"]] = "size_bytes"
    """Which measure of the file gets smaller."""

    @classmethod
    def foreseen(cls) -> tuple[Self, ...]:
        """Return the options that a preflight shows."""
        return (cls.model_validate({}),)

    def gains_from_samples(self) -> bool:
        """Return whether calibration data makes what these options give better."""
        return self.needs_samples

    def required_opset(self) -> int:
        """Return the lowest default-domain opset these options can work at.

        The pipeline raises the model to it.
        """
        return self.minimum_opset

    def runs_of_model(self) -> tuple[int, int]:
        """Return how often a job with 64 samples runs the model, at least and at most."""
        return 20, 600 if self.gains_from_samples() else 300

    def foresee(self, preview: Preview) -> Outlook:
        """Return what these options would do, for a preflight.

        Raises:
            EngineError: what `apply` would raise.
        """
        applied = self.apply(preview.part, preview.context)
        return Outlook([PartResult(applied.model)], applied.changed_nodes, applied.skipped)

    @abstractmethod
    def apply(self, model: onnx.ModelProto, context: PassContext) -> "PassResult":
        """Return a compressed copy of the prepared model.

        Raises:
            PassError: the model cannot be compressed this way; the code says why.
            CalibrationError: the samples cannot be run.
        """


@dataclass(frozen=True)
class PassResult:
    """The new model, the nodes that changed and the nodes left alone.

    `resolved` is the pass with every choice that was measured written out: on any machine, with the
    same samples, it gives the same bytes. Left out, the pass itself does.
    """

    model: onnx.ModelProto
    changed_nodes: list[str] = field(default_factory=list)
    skipped: list[SkippedNode] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resolved: Pass | None = None
