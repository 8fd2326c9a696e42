"""Preflights: made in the sandbox once for the bytes of a model, then kept."""

from importlib.metadata import version
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from app.db import reading
from app.errors import GoneError
from app.repositories import models, preflights
from app.services.context import ServiceContext
from app.services.inspection import preflight_model
from app.services.uploads import Upload
from app.tables import ModelRow
from worker.engine.preflight.contents import Preflight

ENGINE = " ".join(f"{name}-{version(name)}" for name in ("onnxpress", "onnxruntime", "onnx"))


def find(context: ServiceContext, model: ModelRow) -> Preflight | None:
    """Return the preflight of a model if this engine has made it before."""
    with reading(context.session_factory) as session:
        contents = preflights.find(session, model.sha256, ENGINE)
    try:
        return None if contents is None else Preflight.model_validate(contents)
    except ValidationError:  # kept by a build of this version that answered otherwise
        return None


def make(context: ServiceContext, model: ModelRow) -> Preflight:
    """Make and keep the preflight of a model, unless it was kept meanwhile.

    Raises:
        GoneError: its bytes are lost.
        EngineError: it cannot be read, or no method can take it.
    """
    known = find(context, model)
    if known is not None:
        return known
    if not context.storage.exists(model.storage_key):
        raise GoneError("the model's file is gone; upload it again")
    with context.storage.work_folder(f"preflight-{uuid4().hex}") as folder:
        path = folder / "model"
        context.storage.fetch(model.storage_key, path)
        made = preflight_model(context, Upload(path, model.name, model.sha256, model.size_bytes))
    _keep(context, model, made)
    return made


def _keep(context: ServiceContext, model: ModelRow, made: Preflight) -> None:
    """Keep a preflight for as long as its model is there."""
    try:
        with context.session_factory.begin() as session:
            if models.find(session, model.workspace, model.id) is not None:
                preflights.put(session, model.sha256, ENGINE, made.model_dump(mode="json"))
    except IntegrityError:  # another process kept the same
        return
