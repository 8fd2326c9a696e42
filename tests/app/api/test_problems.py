import pytest

from app.services import models
from worker.engine.errors import EngineError


def test_an_unknown_path_is_a_problem(client):
    response = client.get("/v1/nowhere")

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:onnxpress:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "no such path; see /docs for the calls there are",
        "code": "not_found",
        "errors": [],
        "request_id": response.headers["x-request-id"],
    }


def test_a_wrong_method_names_the_right_ones(client):
    response = client.put("/v1/models")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert "GET, POST" in response.json()["detail"]


def test_a_wrong_parameter_is_named(client):
    response = client.get("/v1/models?limit=many")

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "#/query/limit"


def test_an_engine_error_keeps_its_code(client, monkeypatch):
    def refuse(*_):
        raise EngineError("use another model", code="some_code")

    monkeypatch.setattr(models, "get", refuse)
    response = client.get("/v1/models/model_0")

    assert response.status_code == 422
    assert response.json()["code"] == "some_code"
    assert response.json()["detail"] == "use another model"


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret")])
def test_an_unexpected_error_leaks_nothing(anonymous, client, monkeypatch, error):
    def break_down(*_):
        raise error

    monkeypatch.setattr(models, "get", break_down)
    response = anonymous.get("/v1/models/model_0", headers=dict(client.headers))

    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["code"] == "internal_error"
    assert response.json()["request_id"] == response.headers["x-request-id"]
