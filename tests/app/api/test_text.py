"""Text from outside that a database may not be able to keep, over HTTP on both databases."""

import json
import shutil
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import model_bytes

SPEC = {"passes": [{"method": "float16"}]}
NUL, HALF = "a\\u0000b", "a\\ud800b"  # as JSON writes them


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request, tmp_path_factory):
    """A client of a service on each database."""
    folder = tmp_path_factory.mktemp("text")
    url = f"sqlite:///{folder / 'text.db'}"
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), folder / "text.db")
    else:
        url = request.getfixturevalue("postgres").url("migrated")
    settings = Settings(data_dir=folder, database_url=url, redis_url="redis+socket:///nowhere")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def model_id(client):
    return client.post("/v1/models", content=model_bytes()).json()["id"]


def assert_is_refused(response, code):
    problem = response.json()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["detail"]


@pytest.mark.parametrize("name", ["a\x00.onnx", "a\n.onnx", "x" * 201])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/datasets"])
def test_refuses_a_name(client, path, name):
    response = client.post(path, params={"name": name}, content=b"x")

    assert_is_refused(response, "invalid_name")


@pytest.mark.parametrize(("key", "value"), [("k", NUL), ("k", HALF), (NUL, "v"), (HALF, "v")])
def test_refuses_labels_with_half_characters(client, model_id, key, value):
    spec = json.dumps(SPEC)
    body = f'{{"model_id": "{model_id}", "spec": {spec}, "labels": {{"{key}": "{value}"}}}}'

    assert_is_refused(client.post("/v1/jobs", content=body), "invalid_value")


@pytest.mark.parametrize("key", ["", "clé", "k" * 256, b"a\x00b", b"a\xff"])
def test_refuses_an_idempotency_key(client, model_id, key):
    headers = {b"Idempotency-Key": key if isinstance(key, bytes) else key.encode()}

    response = client.post("/v1/jobs", json={"model_id": model_id, "spec": SPEC}, headers=headers)

    assert_is_refused(response, "invalid_request")


@pytest.mark.parametrize(
    "query",
    [
        "cursor=%00", "cursor=%ED%A0%80", "cursor=job_" + "0" * 99, "label=%00=a", "label=a=%00",
        "label=a'\"=b", "model_id=%00", "state=%00", "created_after=%00", "limit=%00",
        "created_after=0001-01-01T00:00:00%2B14:00",
    ],
)  # fmt: skip
def test_refuses_a_filter(client, query):
    assert_is_refused(client.get(f"/v1/jobs?{query}"), "invalid_request")


@pytest.mark.parametrize("path", ["models", "datasets", "jobs"])
@pytest.mark.parametrize("identifier", ["%00", "%ED%A0%80", "model_1%0a", "model_" + "0" * 99])
def test_refuses_an_id(client, path, identifier):
    assert_is_refused(client.get(f"/v1/{path}/{identifier}"), "invalid_request")


@pytest.mark.parametrize(
    ("key", "value"),
    [("a.b/c-d_9", "x=y"), ("0", ""), ("a", "'\"\\%_ 模型 \U0001f9e0"), ("k" * 63, "v" * 255)],
)
def test_keeps_and_finds_legal_labels(client, model_id, key, value):
    body = {"model_id": model_id, "spec": SPEC, "labels": {key: value}}
    job = client.post("/v1/jobs", json=body).json()

    found = client.get("/v1/jobs", params={"label": f"{key}={value}"}).json()["items"]

    assert [it["id"] for it in found] == [job["id"]]
    assert found[0]["labels"] == {key: value}


def test_keeps_a_legal_name(client):
    name = f"Größe 模型 \U0001f9e0 'a' {uuid4().hex}.onnx"

    response = client.post("/v1/models", params={"name": name}, content=model_bytes(5))

    stored = response.json()
    content = client.get(f"/v1/models/{stored['id']}/content")
    assert response.status_code == 201
    assert stored["name"] == name
    assert "filename*=UTF-8''Gr%C3%B6%C3%9Fe" in content.headers["content-disposition"]
