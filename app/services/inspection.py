"""Checks uploads in the sandbox: no model or dataset is opened in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from app.errors import AppError, InvalidRequestError, UnavailableError
from app.services.context import ServiceContext
from app.services.uploads import Upload
from worker.engine.preflight.contents import Preflight
from worker.engine.requests import (
    DatasetInfo,
    InspectDataset,
    InspectModel,
    ModelInfo,
    PreflightModel,
    TensorInfo,
    UnpackLimits,
)
from worker.sandbox.process import ChildFailedError, Limits


def inspect_model(context: ServiceContext, upload: Upload) -> ModelInfo:
    """Return what a received model is.

    Raises:
        EngineError: it is not a valid model; the code and message say why.
    """
    with context.storage.work_folder(f"inspect-{uuid4().hex}") as workdir, _child_failures("model"):
        request = InspectModel(
            model_path=upload.path, workdir=workdir, limits=_unpack_limits(context)
        )
        return context.sandbox.run(request, _limits(context, upload))


def preflight_model(context: ServiceContext, upload: Upload) -> Preflight:
    """Return what each method would make of a model that was inspected when it came.

    Raises:
        EngineError: it cannot be read, or no method can take it.
    """
    with context.storage.work_folder(f"inspect-{uuid4().hex}") as workdir, _child_failures("model"):
        request = PreflightModel(
            model_path=upload.path, workdir=workdir, limits=_unpack_limits(context)
        )
        return context.sandbox.run(request, _limits(context, upload))


def inspect_dataset(
    context: ServiceContext,
    upload: Upload,
    transform: str | None,
    model_inputs: list[TensorInfo] | None,
) -> DatasetInfo:
    """Return what a received dataset is, once it fits the model's inputs where they are given.

    Raises:
        EngineError: it is malformed or does not fit; the code and message say why.
    """
    with (
        context.storage.work_folder(f"inspect-{uuid4().hex}") as workdir,
        _child_failures("dataset"),
    ):
        request = InspectDataset(
            dataset_path=upload.path,
            workdir=workdir,
            model_inputs=model_inputs,
            image_transform=transform,
            limits=_unpack_limits(context),
        )
        return context.sandbox.run(request, _limits(context, upload))


def _unpack_limits(context: ServiceContext) -> UnpackLimits:
    return UnpackLimits(
        max_unpacked_bytes=context.settings.max_unpacked_bytes,
        max_unpacked_ratio=context.settings.max_unpacked_ratio,
    )


def _limits(context: ServiceContext, upload: Upload) -> Limits:
    """Allow the check what a job would be allowed, in the time of two operations."""
    seconds = context.settings.operation_time_limit_seconds
    return Limits(
        wall_seconds=2 * seconds,
        wall_setting="OPERATION_TIME_LIMIT",
        operation_seconds=seconds,
        memory_bytes=context.settings.memory_limit_bytes(upload.size_bytes),
        file_bytes=context.settings.max_unpacked_bytes,
    )


@contextmanager
def _child_failures(noun: str) -> Iterator[None]:
    """Blame the upload for what it does to the child, but not for a kill or a fault of ours."""
    try:
        yield
    except ChildFailedError as error:
        detail = f"the {noun} could not be checked: {error}"
        if error.was_killed:
            raise UnavailableError(detail) from error
        if error.code == "internal_error":
            raise AppError(detail) from error
        raise InvalidRequestError(detail, code=error.code) from error
