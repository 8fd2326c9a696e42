"""One running API for all tests of it: real database, storage and sandbox, a recording queue.

Each test has a workspace of its own, and with it a key, so that none sees another's things.
"""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from uuid import uuid4

import numpy as np
import onnx
import pytest
from fastapi import FastAPI
from onnx import TensorProto, helper, numpy_helper
from starlette.testclient import TestClient

from app.main import create_app
from app.services import keys
from app.services.context import ServiceContext
from app.settings import Settings

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
    weight = numpy_helper.from_array(np.eye(width, dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"], "multiply")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def dataset_bytes(width: int = 4, samples: int = 8) -> bytes:
    """An `.npz` for that model."""
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones((samples, width), dtype=np.float32))
    return buffer.getvalue()


@pytest.fixture
def model(client) -> dict:
    """An uploaded model."""
    return client.post("/v1/models?name=linear.onnx", content=model_bytes()).json()


@pytest.fixture
def dataset(client) -> dict:
    """An uploaded dataset that fits the model."""
    return client.post("/v1/datasets?name=samples.npz", content=dataset_bytes()).json()


@pytest.fixture
def job(client, model) -> dict:
    """A queued job."""
    spec = {"passes": [{"method": "dynamic_quantization"}]}
    return client.post("/v1/jobs", json={"model_id": model["id"], "spec": spec}).json()
