"""The engine's entry point, as the sandbox calls it; its vocabulary is in `requests.py`."""

from worker.engine.datasets.opening import inspect_dataset
from worker.engine.errors import ResourceError
from worker.engine.inspection import describe
from worker.engine.model_io import load
from worker.engine.pipeline import compress
from worker.engine.preflight.contents import Preflight
from worker.engine.preflight.preflight import preflight
from worker.engine.requests import (
    AnyRequest,
    ArrayInfo,
    CompressedModel,
    CompressModel,
    DatasetInfo,
    InspectDataset,
    InspectModel,
    ModelInfo,
    PreflightModel,
    ReportProgress,
    Request,
    TensorInfo,
    UnpackLimits,
)

__all__ = [
    "AnyRequest",
    "ArrayInfo",
    "CompressModel",
    "CompressedModel",
    "DatasetInfo",
    "InspectDataset",
    "InspectModel",
    "ModelInfo",
    "Preflight",
    "PreflightModel",
    "ReportProgress",
    "Request",
    "TensorInfo",
    "UnpackLimits",
    "run",
]


def run(
    request: AnyRequest, report_progress: ReportProgress
) -> ModelInfo | Preflight | DatasetInfo | CompressedModel:
    """Do what is asked and return the answer.

    Raises:
        EngineError: it cannot be done; the message says what to change.
    """
    try:
        if isinstance(request, InspectModel):
            report_progress("checking the model", 0.0)
            loaded = load(request.model_path, request.workdir, request.limits)
            return describe(loaded.model, loaded.size_bytes)
        if isinstance(request, PreflightModel):
            return preflight(request, report_progress)
        if isinstance(request, InspectDataset):
            report_progress("reading the dataset", 0.0)
            return inspect_dataset(request)
        return compress(request, report_progress)
    except MemoryError as error:
        message = "the work needs more memory than it may use; use a smaller model or fewer samples"
        raise ResourceError(message, code="out_of_memory") from error
