import os
import re
import subprocess
import sys

from starlette.testclient import TestClient

from app.main import create_app


def test_without_keys_everybody_shares_one_workspace(settings):
    with TestClient(create_app(settings)) as client:
        assert client.get("/v1/models").json() == {"items": [], "next_cursor": None}
        assert client.get("/readyz").json()["ready"] is True


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
