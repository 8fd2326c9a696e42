"""What the engine can be asked to do, and what it answers: paths and JSON in, JSON out."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from worker.engine.preflight.contents import Preflight
from worker.engine.report.report import Report
from worker.engine.runtime import ExecutionProvider
from worker.engine.spec import Spec

ReportProgress = Callable[[str, float], None]
"""Takes a stage name and the whole operation's progress in [0, 1]."""


Answer = TypeVar("Answer", bound=BaseModel)


class Request(BaseModel):
    """A request to the engine; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Operation(Request, Generic[Answer]):
    """A request with an answer.

    The sandbox lets the operation read its `*_path` fields and write in `workdir` and its
    `*_folder` fields, and nothing else.
    """

    answer_type: ClassVar[type[BaseModel]]


class TensorInfo(BaseModel):
    """A graph input or output; a dimension is a size, a symbol or null where unknown."""

    name: str
    dtype: str
    """numpy's name, such as `float32`; `string`, `sequence`, ... where there is none."""
    shape: list[int | str | None] | None


class ModelInfo(BaseModel):
    """What an uploaded model is."""

    opset: int
    ir_version: int
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]
    op_counts: dict[str, int]
    parameter_count: int
    size_bytes: int
    """Of the model and its external data, unpacked."""


class ArrayInfo(BaseModel):
    """One array of a dataset; null dimensions differ between samples."""

    name: str
    dtype: str
    shape: list[int | None]
    """Of one sample."""


class DatasetInfo(BaseModel):
    """What an uploaded dataset is."""

    format: Literal["npz", "npz_archive", "images"]
    sample_count: int
    arrays: list[ArrayInfo]
    has_labels: bool


ArtifactName = Literal["model.onnx", "model.zip"]


class CompressedModel(BaseModel):
    """The artifact's file name inside `artifact_folder`, and the report.

    Of a job with a goal there may be alternatives: their file names, the first in
    `artifact_folder/alternative_1`, and so on.
    """

    artifact_name: ArtifactName
    alternatives: Annotated[list[ArtifactName], Field(max_length=2)] = []
    report: Report


class UnpackLimits(Request):
    """What an archive may unpack to."""

    max_unpacked_bytes: int = 8 * 2**30
    max_unpacked_ratio: float = 50.0


class InspectModel(Operation[ModelInfo]):
    """Check an uploaded model (`.onnx`, or an archive with external data) and describe it."""

    answer_type = ModelInfo

    operation: Literal["inspect_model"] = "inspect_model"
    model_path: Path
    workdir: Path
    limits: UnpackLimits = UnpackLimits()


class PreflightModel(Operation[Preflight]):
    """Say what a model that was inspected before is, and what each method would make of it."""

    answer_type = Preflight

    operation: Literal["preflight_model"] = "preflight_model"
    model_path: Path
    workdir: Path
    limits: UnpackLimits = UnpackLimits()


class InspectDataset(Operation[DatasetInfo]):
    """Check an uploaded dataset, against a model where one is given, and describe it."""

    answer_type = DatasetInfo

    operation: Literal["inspect_dataset"] = "inspect_dataset"
    dataset_path: Path
    workdir: Path
    model_inputs: list[TensorInfo] | None = None
    image_transform: str | None = None
    """JSON of the transform, in place of the archive's `transform.json`."""
    limits: UnpackLimits = UnpackLimits()


class CompressModel(Operation[CompressedModel]):
    """Compress a model by its spec and measure the result.

    Writes `artifact_folder/model.onnx`, or `model.zip` where the result needs external data.
    """

    answer_type = CompressedModel

    operation: Literal["compress_model"] = "compress_model"
    model_path: Path
    calibration_path: Path | None = None
    calibration_transform: str | None = None
    evaluation_path: Path | None = None
    evaluation_transform: str | None = None
    spec: Spec
    artifact_folder: Path
    workdir: Path
    cache_folder: Path | None = None
    """Where results are kept that later calls over the same model may use; None keeps none."""
    default_execution_provider: ExecutionProvider = "cpu"
    limits: UnpackLimits = UnpackLimits()


AnyRequest = Annotated[
    InspectModel | PreflightModel | InspectDataset | CompressModel, Field(discriminator="operation")
]
