import os
import re
import subprocess
import sys
import time

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.repositories import reaping
from app.storage import Storage


def test_without_keys_everybody_shares_one_workspace(settings):
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/models").json() == {"items": [], "next_cursor": None}
        assert client.get("/readyz").json()["ready"] is True


def test_removes_what_a_killed_api_left_in_its_spool(settings):
    left = Storage(settings).spool() / "upload-left"
    left.touch()
    os.utime(left, (0, 0))

    with TestClient(create_app(settings)):
        assert not left.exists()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "/v1/models/{model}",
        "/v1/models/{model}/content",
        "/v1/datasets",
        "/v1/datasets/{dataset}",
        "/v1/datasets/{dataset}/content",
        "/v1/jobs?label=a=b",
        "/v1/jobs/{job}",
        "/metrics",
        "/readyz",
    ],
)
def test_reading_waits_for_no_writer(client, context, model, dataset, job, path):
    url = path.format(model=model["id"], dataset=dataset["id"], job=job["id"])

    with context.session_factory.begin() as writer:
        reaping.make_due(writer)
        started = time.monotonic()
        status = client.get(url).status_code

    assert status == 200
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/v1/datasets"])
def test_a_database_that_is_away_makes_the_service_unavailable(settings, path):
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/nowhere"})

    with TestClient(create_app(away), raise_server_exceptions=False) as client:
        response = client.get(path)

    assert response.status_code == 503
    assert response.json()["detail"] == "the database does not answer now; try again later"
    assert response.headers["retry-after"] == "5"


def test_importing_the_api_contacts_nobody_and_opens_nothing(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path), "ONNXPRESS_DATA_DIR": str(tmp_path / "data")}

    subprocess.run(
        [sys.executable, "-c", "import app.main; app.main.create_app()"],
        env=environment,
        check=True,
        timeout=120,
    )

    assert list(tmp_path.iterdir()) == []


def test_the_documentation_page_loads_nothing_from_other_hosts(settings):
    with TestClient(create_app(settings)) as client:
        page = client.get("/docs").text
        sources = re.findall(r'(?:src|href)="(/[^"]+)"', page)
        statuses = {client.get(source).status_code for source in sources}

    assert "http://" not in page
    assert "https://" not in page
    assert len(sources) >= 3
    assert statuses == {200}
