"""Every hostile file, uploaded over HTTP to the service with its real sandbox."""

import re
import shutil
import sys
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.hostile_files import (
    ARCHIVES,
    DATASETS,
    IMAGES,
    MODELS,
    UNFIT_FOR_LINEAR,
    UNFIT_FOR_LSTM,
)
from tests.hostile_models import sound
from tests.hostile_runs import recurrent_of_any_batch


@pytest.fixture(scope="module")
def settings(migrated_sqlite, tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copyfile(migrated_sqlite, folder / "onnxpress.db")
    return Settings(
        data_dir=folder, redis_url="redis+socket:///nowhere", operation_time_limit_seconds=8
    )


@pytest.fixture(scope="module")
def client(settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def linear_id(client) -> str:
    return client.post("/v1/models", content=sound()).json()["id"]


@pytest.fixture(scope="module")
def lstm_id(client) -> str:
    return client.post("/v1/models", content=recurrent_of_any_batch()).json()["id"]


@pytest.fixture(autouse=True)
def _leaves_a_healthy_service(client, settings):
    yield
    assert list((settings.data_dir / "storage" / "spool").iterdir()) == []
    assert client.get("/readyz").json()["ready"] is True
    assert client.get("/v1/models").status_code == 200


def assert_is_answered(response, file, code, settings):
    if not file.words:
        assert response.status_code == 201, response.text
        return
    problem = response.json()
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/problem+json"
    assert re.fullmatch(file.code or code, problem["code"])
    assert file.words in problem["detail"]
    assert len(problem["detail"]) < 1000
    for path in (str(settings.data_dir), sys.prefix, "site-packages", "spool", " object at 0x"):
        assert path not in response.text


@pytest.mark.parametrize("file", MODELS + ARCHIVES, ids=str)
def test_answers_a_hostile_model(client, settings, file):
    response = client.post("/v1/models", content=file.build())

    assert_is_answered(response, file, "invalid_model", settings)


@pytest.mark.parametrize("file", [it for it in MODELS + ARCHIVES if not it.words], ids=str)
def test_foretells_what_becomes_of_a_strange_model(client, file):
    model = client.post("/v1/models", content=file.build()).json()

    response = client.get(f"/v1/models/{model['id']}/preflight")

    assert response.status_code in {200, 422}
    assert len(response.content) < 200_000


@pytest.mark.parametrize("file", DATASETS + IMAGES, ids=str)
def test_answers_a_hostile_dataset(client, settings, file):
    response = client.post("/v1/datasets", content=file.build())

    assert_is_answered(response, file, "invalid_dataset", settings)


@pytest.mark.parametrize("file", UNFIT_FOR_LINEAR, ids=str)
def test_refuses_a_dataset_that_does_not_fit(client, settings, linear_id, file):
    response = client.post(f"/v1/datasets?model_id={linear_id}", content=file.build())

    assert_is_answered(response, file, "invalid_dataset", settings)


@pytest.mark.parametrize("file", UNFIT_FOR_LSTM, ids=str)
def test_refuses_a_batch_that_would_crash_onnxruntime(client, settings, lstm_id, file):
    response = client.post(f"/v1/datasets?model_id={lstm_id}", content=file.build())

    assert_is_answered(response, file, "invalid_dataset", settings)
