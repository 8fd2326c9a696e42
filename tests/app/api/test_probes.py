from dataclasses import replace

from app.db import create_session_factory
from app.settings import Settings
from app.storage import Storage
from tests.full_disks import full_disk


def test_its_address_leads_to_the_documentation(anonymous):
    page = anonymous.get("/")

    assert (page.status_code, page.url.path) == (200, "/docs")


def test_lives_without_a_key(anonymous):
    assert anonymous.get("/livez").json() == {"status": "ok"}


def test_is_ready_with_database_and_storage(anonymous):
    response = anonymous.get("/readyz")

    assert response.status_code == 200
    assert response.json()["ready"] is True
    assert response.json()["checks"] == {"database": "ok", "storage": "ok"}


def test_a_silent_broker_is_a_warning(anonymous, queue):
    queue.is_up = False

    response = anonymous.get("/readyz")

    assert response.status_code == 200
    assert any("broker" in warning for warning in response.json()["warnings"])


def test_is_not_ready_before_the_migrations(anonymous, running_app, tmp_path):
    factory = create_session_factory(f"sqlite:///{tmp_path / 'empty.db'}")
    context = running_app.state.context
    running_app.state.context = replace(context, session_factory=factory)

    response = anonymous.get("/readyz")

    factory.kw["bind"].dispose()
    assert response.status_code == 503
    assert "onnxpress migrate" in response.json()["checks"]["database"]


def test_is_not_ready_without_its_storage(anonymous, running_app, tmp_path):
    storage = Storage(Settings(storage_url=tmp_path.as_uri()))
    running_app.state.context = replace(running_app.state.context, storage=storage)
    (tmp_path / "spool").rmdir()

    response = anonymous.get("/readyz")

    assert response.status_code == 503
    assert response.json()["checks"]["storage"] == "does not take files"


def test_is_not_ready_on_a_full_disk(anonymous, running_app, tmp_path):
    storage = Storage(Settings(storage_url=tmp_path.as_uri()))
    running_app.state.context = replace(running_app.state.context, storage=storage)

    with full_disk():
        response = anonymous.get("/readyz")

    assert response.status_code == 503
    assert response.json()["checks"] == {"database": "ok", "storage": "does not take files"}


def test_warns_of_a_disk_too_small_for_an_upload(anonymous, running_app):
    context = running_app.state.context
    settings = context.settings.model_copy(update={"max_upload_bytes": 2**62})
    running_app.state.context = replace(context, settings=settings)

    response = anonymous.get("/readyz")

    assert response.status_code == 200
    assert any("bytes free" in warning for warning in response.json()["warnings"])


def test_counts_requests_by_route_and_jobs_by_state(anonymous, client, job):
    client.get(f"/v1/jobs/{job['id']}")
    client.get("/nowhere/at/all")

    text = anonymous.get("/metrics").text

    assert (
        'onnxpress_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"}' in text
    )
    assert 'route="unmatched",status="404"' in text
    assert 'onnxpress_jobs{state="queued"}' in text
    assert "onnxpress_queue_age_seconds " in text
    assert "onnxpress_upload_bytes_total " in text
