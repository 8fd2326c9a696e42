"""The engine's entry point, as the sandbox calls it; its vocabulary is in `requests.py`."""

from worker.engine.requests import (
    AnyRequest,
    ArrayInfo,
    CompressedModel,
    CompressModel,
    DatasetInfo,
    InspectDataset,
    InspectModel,
    ModelInfo,
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
    "ReportProgress",
    "Request",
    "TensorInfo",
    "UnpackLimits",
]
