"""One running API for all tests of it: real database, storage and sandbox, a recording queue.

Each test has a workspace of its own, and with it a key, so that none sees another's things.
"""

import hashlib
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.db import new_id
from app.main import create_app
from app.repositories import datasets, models
from app.services import keys
from app.services.context import ServiceContext
from app.settings import Settings
from app.storage import blob_key
from app.tables import DatasetRow, ModelRow
from tests.onnx_models import linear
from worker.engine.passes.float16 import Float16
from worker.engine.report.contents import ModelMeasures
from worker.engine.report.provenance import Manifest
from worker.engine.report.report import Report
from worker.engine.report.verdict import Verdict
from worker.engine.requests import ArrayInfo, DatasetInfo, ModelInfo, TensorInfo
from worker.engine.spec import Spec

MAX_UPLOAD_BYTES = 300_000


@dataclass
class RecordingQueue:
    """Takes the messages, and can be down."""

    sent: list[str] = field(default_factory=list)
    is_up: bool = True

    def send_job(self, job_id: str) -> bool:
        if self.is_up:
            self.sent.append(job_id)
        return self.is_up

    def ping(self) -> bool:
        return self.is_up


@pytest.fixture(scope="session")
def running_app(migrated_sqlite, tmp_path_factory) -> Iterator[FastAPI]:
    folder = tmp_path_factory.mktemp("api")
    shutil.copyfile(migrated_sqlite, folder / "api.db")
    settings = Settings(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'api.db'}",
        redis_url="redis+socket:///nowhere",
        auth="keys",
        max_upload_bytes=MAX_UPLOAD_BYTES,
        retention_days=7,
    )
    app = create_app(settings)
    with TestClient(app):
        yield app


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def context(running_app, queue) -> Iterator[ServiceContext]:
    """What the services work with, with the test's own queue."""
    before = running_app.state.context
    running_app.state.context = replace(before, queue=queue)
    yield running_app.state.context
    running_app.state.context = before


@pytest.fixture
def workspace() -> str:
    return f"workspace-{uuid4().hex}"


@pytest.fixture
def anonymous(running_app, context) -> TestClient:
    """A client without a key; a fault of the API is an answer here, no exception."""
    return TestClient(running_app, raise_server_exceptions=False)


@pytest.fixture
def client(running_app, context, workspace) -> TestClient:
    """A client with a key of the test's own workspace."""
    _, key = keys.create(context.session_factory, "test", workspace=workspace)
    return TestClient(running_app, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def reader(running_app, context, workspace) -> TestClient:
    """A client of the same workspace that may only read."""
    _, key = keys.create(context.session_factory, "test", workspace=workspace, scopes=["read"])
    return TestClient(running_app, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def stranger(running_app, context) -> TestClient:
    """A client of another workspace."""
    _, key = keys.create(context.session_factory, "test", workspace=f"other-{uuid4().hex}")
    return TestClient(running_app, headers={"Authorization": f"Bearer {key}"})


def model_bytes(width: int = 4) -> bytes:
    """A model `y = x W`, with `x` of shape (batch, width)."""
    return linear(np.eye(width, dtype=np.float32)).SerializeToString()


def dataset_bytes(width: int = 4, samples: int = 8) -> bytes:
    """An `.npz` for that model."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones((samples, width), dtype=np.float32))
    return buffer.getvalue()


@pytest.fixture
def model(client, context, workspace) -> dict:
    """A model as if uploaded."""
    return client.get(f"/v1/models/{save_model(context, workspace)}").json()


@pytest.fixture
def dataset(client, context, workspace) -> dict:
    """A dataset that fits the model, as if uploaded."""
    array = ArrayInfo(name="x", dtype="float32", shape=[4])
    info = DatasetInfo(format="npz", sample_count=8, arrays=[array], has_labels=False)
    row = stored_row(context, DatasetRow, "dataset", dataset_bytes(), info)
    row.workspace, row.name, row.transform_sha256 = workspace, "samples.npz", ""
    with context.session_factory.begin() as session:
        datasets.add(session, row)
    return client.get(f"/v1/datasets/{row.id}").json()


def save_model(context, workspace, width: int = 4) -> str:
    """Store and describe a model without the sandbox, which takes a second; return its id."""
    return save_bytes(context, workspace, model_bytes(width), width)


def save_bytes(context, workspace, data: bytes, width: int = 4) -> str:
    """Store any bytes as if they were a model of this width; return its id."""
    tensor = TensorInfo(name="x", dtype="float32", shape=["batch", width])
    info = ModelInfo(
        opset=17,
        ir_version=10,
        inputs=[tensor],
        outputs=[tensor.model_copy(update={"name": "y"})],
        op_counts={"Add": 1, "MatMul": 1},
        parameter_count=width * width + width,
        size_bytes=len(data),
    )
    row = stored_row(context, ModelRow, "model", data, info)
    row.workspace, row.name = workspace, "linear.onnx"
    with context.session_factory.begin() as session:
        models.add(session, row)
    return row.id


def stored_row(context, table, prefix, data, info):
    """A row of an upload whose bytes are in the storage."""
    sha256 = store(context, data)
    return table(
        id=new_id(prefix),
        sha256=sha256,
        size_bytes=len(data),
        storage_key=blob_key(sha256),
        info=info.model_dump(mode="json"),
        created_at=datetime.now(UTC),
    )


def store(context, data: bytes) -> str:
    """Put bytes into the storage; return their SHA-256."""
    path = context.storage.spool() / f"test-{uuid4().hex}"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    context.storage.put(path, blob_key(sha256))
    return sha256


@pytest.fixture
def job(client, model) -> dict:
    """A queued job."""
    spec = {"passes": [{"method": "dynamic_quantization"}]}
    return client.post("/v1/jobs", json={"model_id": model["id"], "spec": spec}).json()


@pytest.fixture
def report() -> Report:
    """A report of a job that measured nothing but size."""
    measures = ModelMeasures(
        size_bytes=100,
        deflated_bytes=90,
        zstd_bytes=80,
        parameter_count=16,
        zero_fraction=0.0,
        op_counts={"MatMul": 1},
        macs=16,
    )
    return Report(
        verdict=Verdict(passed=True, summary="good", gates=[], warnings=[]),
        before=measures,
        after=measures,
        fidelity=[],
        accuracy=[],
        latency=None,
        peak_memory_bytes=1,
        layers=[],
        passes=[],
        skipped=[],
        preparation=[],
        durations_seconds={},
        manifest=Manifest(
            model_sha256="0" * 64,
            artifact_sha256="1" * 64,
            spec_sha256="2" * 64,
            resolved_spec=Spec(passes=[Float16()]),
            calibration_sha256=None,
            evaluation_sha256=None,
            seed=0,
            versions={},
            cpu="x",
            cpu_flags=[],
            platform="x",
            execution_provider="cpu",
        ),
    )
