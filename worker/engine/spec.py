"""The compression spec, version 1: what to do, how to judge it, and what must hold."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from worker.engine.passes import AnyPass
from worker.engine.passes.base import Pass
from worker.engine.report.paths import check_path
from worker.engine.runtime import ExecutionProvider
from worker.engine.scoring.declared import AskedMetric


class SpecPart(BaseModel):
    """A frozen part of the spec; unknown fields and infinite numbers are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


MethodName = Literal[
    "dynamic_quantization", "float16", "static_quantization", "weight_quantization"
]
"""Methods that a goal may use: pruned weights are meant to be trained further."""
Fraction = Annotated[float, Field(ge=0, le=1)]


class LatencyOptions(SpecPart):
    """How latency is measured: both models in turn, in one process."""

    threads: Annotated[int, Field(ge=1, le=256)] = 1
    """Intra-op threads of each session."""
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 1
    """Samples in each timed run, where the graph's first axis is free."""
    runs: Annotated[int, Field(ge=3, le=1000)] | None = None
    """Interleaved pairs of runs, fewer where they would take over 20 seconds; left out, as many as
    make the ratio certain to 1 %, in at most 15 seconds."""


class BlameOptions(SpecPart):
    """How the nodes that cost the answers most are found, and a spec that mends it."""

    samples: Annotated[int, Field(ge=1, le=64)] = 4
    """Evaluation samples to look at, those whose answers moved most among them; fewer where running
    them takes long."""
    budget_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """What is not found out in this time is left out of the report. The first steps, which take a
    few seconds on a model of 100 MB, are not cut short."""


class Evaluation(SpecPart):
    """How the compressed model is compared with the original."""

    metrics: Annotated[list[AskedMetric], Field(max_length=20)] | None = None
    """Scores on labelled samples, each by its name or as an object with options, such as
    `{"metric": "f1", "output": "speech", "threshold": 0.5, "labels": "is_speech"}`; left out,
    `top1` for classes, else `mean_squared_error`."""
    output: str | None = None
    """The graph output that the labels describe, for metrics that name none; left out, the first
    that fits."""
    thresholds: Annotated[dict[str, FiniteFloat], Field(max_length=1000)] = {}
    """Of graph outputs whose values mean yes above a threshold: how many answers flip is reported
    with or without labels. Left out, the threshold of a metric of that output, else 0.5 for what a
    sigmoid computes."""
    max_samples: Annotated[int, Field(ge=1)] | None = None
    """Use at most this many evaluation samples; left out, all of them."""
    latency: LatencyOptions | None = LatencyOptions()
    """Null skips the latency measurement."""
    blame: BlameOptions | None = BlameOptions()
    """Null leaves out which nodes cost the answers most, and the spec that mends it."""
    ruin_below_sqnr_db: float | None = 3.0
    """A result whose worst output falls below this fidelity fails as `ruined_result`; null returns
    it all the same (for a model that will be fine-tuned afterwards)."""


class FigureLimit(SpecPart):
    """A limit on any number of the report."""

    figure: Annotated[str, Field(min_length=1, max_length=500)]
    """Its place in the report, with names in brackets: `fidelity[boxes].sqnr_db`,
    `accuracy[f1].after`, `latency.after.p99_seconds`, `after.zstd_bytes`; `[*]` stands for all."""
    at_least: float | None = None
    """In the figure's own unit."""
    at_most: float | None = None
    """In the figure's own unit."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_path(self.figure)
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise ValueError("give at_least, at_most or both")
        if low is not None and high is not None and low > high:
            raise ValueError(f"nothing is at least {low:g} and at most {high:g}")
        return self


class Gates(SpecPart):
    """Limits the result must keep; a missed gate is a verdict, and the artifact stays available."""

    max_size_ratio: Annotated[float, Field(gt=0)] | None = None
    """Compressed over original file size."""
    min_sqnr_db: float | None = None
    """Signal to quantization noise ratio of the worst output or part of one, in decibels."""
    min_cosine: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Cosine similarity of the worst output."""
    min_argmax_agreement: Fraction | None = None
    """Share of argmax decisions that stay the same."""
    max_accuracy_drop: float | None = None
    """Original minus compressed score, and for error rates what they rise by; needs labels. Squared
    and absolute errors, which are in units of their own, do not count. The gate holds the scores
    themselves against the limit, and says where the limit lies within the interval of the drop."""
    max_latency_ratio: Annotated[float, Field(gt=0)] | None = None
    """Compressed over original latency, the median of rounds of runs. The gate holds that median
    against the limit, and says where the limit lies within its 95 % confidence interval."""
    limits: Annotated[tuple[FigureLimit, ...], Field(max_length=100)] = ()
    """Limits on any other numbers of the report; a number that was not measured misses its limit.
    """


class Goal(SpecPart):
    """What the result should be, for a job that finds the passes itself."""

    minimize: Literal["size", "latency", "balanced"]
    """What to make as small as the limits allow: the file, the time of one run, or both: `balanced`
    weighs a file half as large as much as a run half as long."""
    within: Gates = Gates()
    """Limits the result must keep. Where none can, the job returns what comes closest, and says
    what stood in the way. Where none is about the answers, one is added: scores may drop by 0.01
    or, without labels, the worst output must keep 20 dB."""
    budget_seconds: Annotated[float, Field(ge=1, le=86_400)] = 600.0
    """Wall time of the whole job, kept within a tenth. More time finds better results, up to the
    point where nothing is left to try."""
    methods: Annotated[tuple[MethodName, ...], Field(min_length=1)] | None = None
    """Methods that may be used; left out, all but those that change weights for good."""


class Spec(SpecPart):
    """What a job does: passes in order, or a goal; then evaluation against the original.

    Give either `passes` or a `goal`.
    """

    version: Literal[1] = 1
    passes: Annotated[list[AnyPass], Field(min_length=1, max_length=8)] | None = None
    """Compression methods, applied in this order."""
    goal: Goal | None = None
    """In place of `passes`: what to find, by making and measuring many candidates."""
    evaluation: Evaluation = Evaluation()
    gates: Gates = Gates()
    """Limits of a result of `passes`; those of a goal are `goal.within`."""
    keep_names: bool = False
    """Keep the names of inner values; by default they are shortened where they take more than 3 %
    of the file. Graph inputs, graph outputs and nodes keep theirs either way."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seeds synthetic inputs and every other random choice."""
    execution_provider: ExecutionProvider | None = None
    """`cuda` runs calibration and evaluation on a GPU where onnxruntime offers one; left out, the
    worker's own setting."""

    @model_validator(mode="after")
    def _says_what_to_do(self) -> Self:
        if (self.passes is None) == (self.goal is None):
            raise ValueError("give either passes or a goal")
        if self.goal is not None and self.gates != Gates():
            raise ValueError("the limits of a goal are goal.within; leave gates out")
        if self.goal is not None and self.goal.minimize != "size" and not self.evaluation.latency:
            raise ValueError("evaluation.latency is null, but the goal is about latency")
        return self

    @property
    def verdict_gates(self) -> Gates:
        """The gates that the verdict is about."""
        return self.gates if self.goal is None else self.goal.within

    @property
    def asks_for_scores(self) -> bool:
        """Whether labels have to be of use: a metric is declared, or a gate holds scores."""
        gates, evaluation = self.verdict_gates, self.evaluation
        is_limited = any(limit.figure.startswith("accuracy") for limit in gates.limits)
        is_declared = bool(evaluation.metrics or evaluation.output)
        return is_declared or is_limited or gates.max_accuracy_drop is not None

    def with_gates(self, gates: Gates) -> "Spec":
        """Return the spec with other limits, where it has them."""
        if self.goal is None:
            return self.model_copy(update={"gates": gates})
        goal = self.goal.model_copy(update={"within": gates})
        return self.model_copy(update={"goal": goal})

    def with_passes(self, passes: Sequence[Pass]) -> "Spec":
        """Return the spec of a job that applies these passes; a goal's limits become its gates."""
        update = {"passes": list(passes), "goal": None, "gates": self.verdict_gates}
        return self.model_copy(update=update)
