"""What a preflight answers."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from worker.engine.passes import AnyPass
from worker.engine.spec import Spec

LONGEST_TEXT = 500


def _cut(text: str) -> str:
    """Return a text as long as anybody reads it; a model may hold names of any length."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


Text = Annotated[str, AfterValidator(_cut)]


class PreflightPart(BaseModel):
    """A part of a preflight."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class StoredTensor(PreflightPart):
    """One constant of the model as it was uploaded."""

    name: Text
    dtype: str
    shape: list[int]
    size_bytes: int
    read_by: list[Text]
    """Op types of the nodes that read it, some of them; a Constant node's own name is its output's.
    """


class FreeAxis(PreflightPart):
    """A dimension of a graph input whose size the graph leaves open."""

    input: Text
    axis: int
    symbol: Text | None


class TrialRun(PreflightPart):
    """One run on made-up inputs of a small size."""

    input_shapes: dict[Text, list[int]]
    """Of the run; empty where there was none."""
    macs: int | None
    """Multiply-accumulates of that run; null where they cannot be told."""
    duration_seconds: float | None
    """With no optimization by the runtime, on one thread; null where the run did not end."""
    problem: Text | None
    """Why there was no run, or why it tells no multiply-accumulates."""


class ModelFacts(PreflightPart):
    """What the model is."""

    size_bytes: int
    """Of the model and its external data, unpacked."""
    opset: int
    ir_version: int
    op_counts: dict[Text, int]
    """Subgraphs and functions included."""
    parameter_count: int
    weight_bytes: dict[str, int]
    """Bytes of all constants, by dtype."""
    weight_count: int
    largest_weights: list[StoredTensor]
    """Some of them, the largest first."""
    free_axes: list[FreeAxis]
    subgraph_count: int
    function_count: int
    quantized_op_counts: dict[str, int]
    """Operators that compute with, or turn to and from, integers of an earlier quantization."""
    trial_run: TrialRun
    preparation: list[Text]
    """What a job does to the model before any method."""


class Seconds(PreflightPart):
    """From the least to the most that is to be expected."""

    low: float
    high: float


class Bytes(PreflightPart):
    """From the least to the most that is to be expected."""

    low: int
    high: int


class Refusal(PreflightPart):
    """Why a job with this method would fail: the code and message of its error."""

    code: str
    message: Text


class SkippedGroup(PreflightPart):
    """Nodes that a method leaves alone for the same reason."""

    op_type: Text
    reason: Text
    """Of the first of them; names of weights stand in it."""
    count: int
    nodes: list[Text]
    """Some of them."""


class Forecast(PreflightPart):
    """What a method would do to the model."""

    passes: list[AnyPass]
    """What it is the forecast of: the method with its defaults, as a spec's `passes`."""
    needs_data: bool
    """Whether the method is better with a calibration dataset."""
    refusal: Refusal | None
    """Null where the method works; else nothing below is known."""
    touched_count: int
    touched: list[Text]
    """The nodes whose weights change, some of them."""
    skipped_count: int
    skipped: list[SkippedGroup]
    """The others, the most frequent reasons first."""
    measure: Literal["size_bytes", "deflated_bytes"]
    """Which figure of the report the sizes are: pruning changes the deflated size only."""
    size_bytes: int | None
    """The likeliest. Of a job without data, where data lets the method measure how many bits its
    answers need."""
    size_is_certain: bool | None
    """Whether no measured choice moves the size by more than 5 %; else a job with data may end
    anywhere in `size_range`."""
    size_range: Bytes | None
    """Sizes for the ways that measured choices may go; the same twice where nothing is measured."""
    size_ratio: float | None
    """Forecast over the original's same figure."""
    duration_seconds: Seconds | None
    """Of a job with this method alone, on a machine like this one."""
    memory_bytes: Bytes | None
    """Peak memory of the job."""


class Caution(PreflightPart):
    """Something to know before a job."""

    code: str
    message: Text
    """What it is, and what to do about it."""
    names: list[Text]
    """The inputs, outputs or nodes that it is about, some of them."""


class Recommendation(PreflightPart):
    """The spec to start with."""

    spec: Spec | None
    """For `POST /v1/jobs`; null where no method pays."""
    reason: Text


class Preflight(PreflightPart):
    """What a model is, and what each method would make of it."""

    model: ModelFacts
    forecasts: list[Forecast]
    warnings: list[Caution]
    basis: str
    """What the figures of the forecasts come from."""
    recommended_without_data: Recommendation
    recommended_with_data: Recommendation
    """With a calibration dataset of 64 samples or more."""
