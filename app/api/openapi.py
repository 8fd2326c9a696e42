"""What OpenAPI cannot learn from signatures: bodies that are streamed, and their schemas."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.problems import Problem
from app.api.schemas import JobEvent, JobRequest
from app.api.sweep_schemas import SweepRequest
from worker.engine.report.report import Report

TAGS = [
    {"name": "models", "description": "Upload ONNX models, list, read, download, delete them."},
    {"name": "datasets", "description": "Samples to calibrate on and to judge the result by."},
    {"name": "jobs", "description": "Compress a model by a spec; poll, cancel, retry."},
    {"name": "sweeps", "description": "Try several specs on one model, and compare the results."},
    {"name": "results", "description": "The compressed model, and the report that proves it."},
    {"name": "service", "description": "What the service can do, and how it is."},
]
DESCRIPTION = """\
Makes ONNX models smaller and faster, and proves it.

Upload a model, submit a job with a compression spec, poll the job with `Prefer: wait=60`, then
download the artifact and the report. Every error is an RFC 9457 problem whose `detail` says what
to change and whose `code` is stable.
"""
DOCUMENTED_BODIES: tuple[type[BaseModel], ...] = (
    JobRequest,
    JobEvent,
    SweepRequest,
    Problem,
    Report,
)
"""What OpenAPI describes though no signature names it."""
_BINARY = {"type": "string", "format": "binary"}
_SPEC_YAML = """\
model_id: model_019a5f2c41d03f9e2b7c4a5d6e8f
spec:
  passes:
    - method: static_quantization
  gates:
    max_size_ratio: 0.35
"""
_SWEEP_YAML = """\
model_id: model_019a5f2c41d03f9e2b7c4a5d6e8f
spec:
  passes:
    - method: weight_quantization
grid:
  /passes/0/bits: [8, 4]
best_by:
  minimize: size
  within:
    min_sqnr_db: 20
"""


def file_body(description: str, **texts: str) -> dict[str, Any]:
    """Return the OpenAPI of an upload: raw, or a form with one `file` and some texts."""
    properties: dict[str, Any] = {"file": _BINARY | {"description": description}}
    properties |= {name: {"type": "string", "description": it} for name, it in texts.items()}
    form = {"type": "object", "required": ["file"], "properties": properties}
    return _body(
        {"application/octet-stream": {"schema": _BINARY}, "multipart/form-data": {"schema": form}}
    )


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _job_body() -> dict[str, Any]:
    request = {"$ref": f"#/components/schemas/{JobRequest.__name__}"}
    dataset = _BINARY | {"description": "As `POST /v1/datasets` takes it"}
    transform = {"type": "string", "description": "JSON of how images become arrays"}
    form = {
        "type": "object",
        "required": ["model", "spec"],
        "properties": {
            "model": _BINARY | {"description": "As `POST /v1/models` takes it"},
            "spec": {"type": "string", "description": "The spec, as JSON or YAML"},
            "calibration": dataset,
            "evaluation": dataset,
            "calibration_transform": transform,
            "evaluation_transform": transform,
            "labels": {"type": "string", "description": "JSON object of your own labels"},
        },
    }
    return _body(
        {
            "application/json": {"schema": request},
            "application/yaml": {"schema": request, "example": _SPEC_YAML},
            "multipart/form-data": {"schema": form},
        }
    )


def _sweep_body() -> dict[str, Any]:
    request = {"$ref": f"#/components/schemas/{SweepRequest.__name__}"}
    return _body(
        {
            "application/json": {"schema": request},
            "application/yaml": {"schema": request, "example": _SWEEP_YAML},
        }
    )


JOB_BODY = _job_body()
SWEEP_BODY = _sweep_body()


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the app's OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            tags=TAGS,
        )
        _, bodies = models_json_schema(
            [(body, "validation") for body in DOCUMENTED_BODIES],
            ref_template="#/components/schemas/{model}",
        )
        schemas = document["components"]["schemas"]
        for name, schema in bodies["$defs"].items():
            schemas.setdefault(name, schema)
        app.openapi_schema = document
    return app.openapi_schema
