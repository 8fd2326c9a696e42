import hashlib

import pytest

from app.db import database_now
from app.repositories import artifacts, jobs
from app.storage import blob_key
from app.tables import ArtifactRow
from tests.app.conftest import model_bytes, store

ARTIFACT = model_bytes(3)


def finish(context, job, report: bytes | None, alternatives: int = 0) -> None:
    """Do as the worker does when a job succeeds."""
    files = {"model": (ARTIFACT, "linear.dynamic_quantization.onnx")}
    for number in range(1, alternatives + 1):
        files[f"alternative_{number}"] = (model_bytes(3 + number), f"alternative-{number}.onnx")
    if report is not None:
        files["report"] = (report, "report.json")
    with context.session_factory.begin() as session:
        token = jobs.claim(session, job["id"], lease_seconds=60, max_attempts=9).token
        verdict = {"passed": True, "summary": "good", "gates": [], "warnings": []}
        metrics = {"size_ratio": 0.3} | ({"alternatives": alternatives} if alternatives else {})
        jobs.finish(session, job["id"], token, verdict=verdict, metrics=metrics, retention=None)
        for kind, (data, name) in files.items():
            sha256 = store(context, data)
            row = ArtifactRow(
                job_id=job["id"],
                kind=kind,
                file_name=name,
                sha256=sha256,
                size_bytes=len(data),
                storage_key=blob_key(sha256),
                created_at=database_now(session),
            )
            artifacts.add(session, row)


@pytest.fixture
def finished(client, context, job, report) -> dict:
    finish(context, job, report.model_dump_json().encode())
    return client.get(f"/v1/jobs/{job['id']}").json()


def test_a_succeeded_job_says_where_its_results_are(finished):
    assert finished["state"] == "succeeded"
    assert finished["progress"] == 1
    assert finished["verdict"]["passed"] is True
    assert finished["metrics"] == {"size_ratio": 0.3}
    assert finished["urls"]["artifact"] == f"/v1/jobs/{finished['id']}/artifact"
    assert finished["urls"]["report"] == f"/v1/jobs/{finished['id']}/report"


def test_serves_the_artifact_under_its_name(client, finished):
    response = client.get(finished["urls"]["artifact"])

    assert response.content == ARTIFACT
    assert response.headers["etag"] == f'"{hashlib.sha256(ARTIFACT).hexdigest()}"'
    assert "linear.dynamic_quantization.onnx" in response.headers["content-disposition"]


def test_serves_the_alternatives_of_a_goal(client, context, job):
    finish(context, job, b"{}", alternatives=2)

    urls = client.get(f"/v1/jobs/{job['id']}").json()["urls"]
    contents = [client.get(url).content for url in urls["alternatives"]]

    assert contents == [model_bytes(4), model_bytes(5)]


@pytest.mark.parametrize(("number", "status"), [("1", 404), ("0", 422), ("3", 422), ("x", 422)])
def test_has_no_other_alternatives(client, finished, number, status):
    response = client.get(f"{finished['urls']['artifact']}?alternative={number}")

    assert finished["urls"]["alternatives"] == []
    assert response.status_code == status


def test_serves_the_artifacts_head(client, finished):
    response = client.head(finished["urls"]["artifact"])

    assert response.status_code == 200
    assert response.content == b""


def test_serves_the_report_as_json_or_markdown(client, finished, report):
    data = client.get(finished["urls"]["report"])
    page = client.get(finished["urls"]["report"], headers={"Accept": "text/markdown"})

    assert data.headers["content-type"] == "application/json"
    assert data.json() == report.model_dump(mode="json")
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert page.text.startswith("#")
    assert page.headers["vary"] == "Accept"


def test_serves_the_report_as_a_page_that_may_load_nothing(client, finished):
    page = client.get(finished["urls"]["report"], headers={"Accept": "text/html,*/*;q=0.8"})

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.text.startswith("<!doctype html>")


def test_a_report_of_another_version_is_json_only(client, context, job):
    finish(context, job, b'{"schema_version": 0}')
    url = f"/v1/jobs/{job['id']}/report"

    assert client.get(url).json() == {"schema_version": 0}
    response = client.get(url, headers={"Accept": "text/markdown"})
    assert response.status_code == 406
    assert "application/json only" in response.json()["detail"]


def test_has_no_report_in_other_forms(client, finished):
    response = client.get(finished["urls"]["report"], headers={"Accept": "application/pdf"})

    assert response.status_code == 406
    assert "text/markdown" in response.json()["detail"]


@pytest.mark.parametrize("what", ["artifact", "report"])
def test_a_job_that_has_not_succeeded_has_no_results(client, job, what):
    response = client.get(f"/v1/jobs/{job['id']}/{what}")

    assert response.status_code == 409
    assert "queued" in response.json()["detail"]


def test_deleted_results_are_gone(client, context, job):
    finish(context, job, None)

    assert client.get(f"/v1/jobs/{job['id']}/report").status_code == 410


@pytest.mark.parametrize("what", ["artifact", "report"])
def test_others_results_are_not_there(stranger, finished, what):
    assert stranger.get(finished["urls"][what]).status_code == 404
