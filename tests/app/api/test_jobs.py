import threading
import time

import pytest
from structlog.testing import capture_logs

from app.repositories import jobs, reaping
from tests.app.conftest import dataset_bytes, model_bytes

SPEC = {"passes": [{"method": "dynamic_quantization"}]}


def submit(client, model, **fields):
    return client.post("/v1/jobs", json={"model_id": model["id"], "spec": SPEC} | fields)


def claim(context, job):
    with context.session_factory.begin() as session:
        return jobs.claim(session, job["id"], lease_seconds=60, max_attempts=9).token


def fail(context, job):
    token = claim(context, job)
    error = {"type": "urn:x", "title": "x", "status": 422, "detail": "x", "code": "crashed"}
    with context.session_factory.begin() as session:
        jobs.fail(session, job["id"], token, error=error, retention=None)


def test_answers_with_the_queued_job_and_rings_for_a_worker(client, model, queue):
    response = submit(client, model, labels={"team": "vision"})

    job = response.json()
    url = f"/v1/jobs/{job['id']}"
    assert response.status_code == 202
    assert response.headers["location"] == url
    assert response.headers["retry-after"] == "1"
    assert queue.sent == [job["id"]]
    assert job["state"] == "queued"
    assert job["progress"] == 0
    assert job["labels"] == {"team": "vision"}
    assert job["attempt"] == 0
    assert job["verdict"] is job["metrics"] is job["error"] is job["started_at"] is None
    assert job["urls"] == {
        "self": url,
        "events": f"{url}/events",
        "cancel": f"{url}/cancel",
        "artifact": None,
        "alternatives": [],
        "report": None,
    }
    assert client.get(url).json() == job


def test_fills_in_the_defaults_of_the_spec(client, model):
    spec = submit(client, model).json()["spec"]

    assert spec["version"] == 1
    assert spec["seed"] == 0
    assert spec["evaluation"]["latency"] == {"threads": 1, "batch_size": 1, "runs": None}


def test_accepts_a_job_while_the_broker_is_down(client, model, queue, context):
    queue.is_up = False

    response = submit(client, model)

    assert response.status_code == 202
    with context.session_factory() as session:
        assert response.json()["id"] in reaping.due_for_sending(session)


def test_takes_yaml(client, model):
    text = f"model_id: {model['id']}\nspec:\n  passes:\n    - method: dynamic_quantization\n"

    response = client.post(
        "/v1/jobs", content=text, headers={"Content-Type": "application/yaml; charset=utf-8"}
    )

    assert response.status_code == 202


@pytest.mark.parametrize(
    "spec",
    ['{"passes": [{"method": "static_quantization"}]}', "passes: [{method: static_quantization}]"],
)
def test_takes_a_form_that_brings_the_files_along(client, spec):
    files = {
        "model": ("my model.onnx", model_bytes()),
        "calibration": ("c.npz", dataset_bytes()),
        "evaluation": ("e.npz", dataset_bytes(samples=3)),
        "spec": ("spec.yaml", spec.encode()),
    }

    response = client.post("/v1/jobs", files=files, data={"labels": '{"a": "b"}'})

    job = response.json()
    assert response.status_code == 202
    assert job["labels"] == {"a": "b"}
    assert client.get(f"/v1/models/{job['model_id']}").json()["name"] == "my model.onnx"
    evaluation = client.get(f"/v1/datasets/{job['evaluation_dataset_id']}").json()
    assert evaluation["sample_count"] == 3
    assert job["calibration_dataset_id"] != job["evaluation_dataset_id"]


def test_a_form_needs_a_model_and_a_spec(client):
    without_model = client.post("/v1/jobs", files={"spec": (None, "passes: []")})
    without_spec = client.post("/v1/jobs", files={"model": ("m", model_bytes())})

    assert without_model.status_code == without_spec.status_code == 422
    assert without_model.json()["errors"][0]["pointer"].startswith("#/spec")
    assert without_spec.json()["errors"][0]["pointer"] == "#/spec"


@pytest.mark.parametrize(
    ("texts", "pointer"),
    [
        ({"spec": "{"}, "#/spec"),
        ({"spec": "passes: ["}, "#/spec"),
        ({"spec": '{"passes": [{"method": "float16", "x": 1e999}]}'}, "#/spec/passes/0/x"),
        ({"spec": "[]"}, "#/spec"),
        ({"spec": "passes: [{method: magic}]"}, "#/spec/passes/0"),
        ({"spec": "goal: {minimize: size, budget_seconds: 3600}"}, "#/spec/goal/budget_seconds"),
        ({"spec": "passes: [{method: float16}]", "labels": "{"}, "#/labels"),
        (
            {"spec": "passes: [{method: float16}]", "calibration_transform": "{}"},
            "#/calibration_transform",
        ),
    ],
)
def test_points_at_a_wrong_field_of_a_form(client, texts, pointer):
    response = client.post("/v1/jobs", files={"model": ("m", model_bytes())}, data=texts)

    assert response.status_code in {400, 422}
    assert response.json()["errors"][0]["pointer"] == pointer


def test_a_form_whose_dataset_does_not_fit_makes_no_job(client):
    files = {"model": ("m", model_bytes()), "calibration": ("c", dataset_bytes(5))}

    response = client.post(
        "/v1/jobs", files=files, data={"spec": "passes: [{method: static_quantization}]"}
    )

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_dataset"
    assert client.get("/v1/jobs").json()["items"] == []


def test_refuses_a_dataset_that_does_not_fit_the_model(client, model):
    other = client.post("/v1/datasets", content=dataset_bytes(5)).json()

    response = submit(client, model, calibration_dataset_id=other["id"])

    assert response.status_code == 422
    assert response.json()["code"] == "invalid_dataset"


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"webhook": "https://x"}, "#/webhook", "known ones are calibration_dataset_id, "),
        ({"spec": {"passes": []}}, "#/spec/passes", "at least 1"),
        (
            {"spec": {"passes": [{"method": "static_quantization", "bitz": 4}]}},
            "#/spec/passes/0/bitz",
            "unknown field; the known ones are activation_symmetric, ",
        ),
        (
            {"spec": {"passes": [{"method": "float16"}], "goal": {"minimize": "size"}}},
            "#/spec",
            "either passes or a goal",
        ),
        (
            {"spec": {"goal": {"minimize": "size", "budget_seconds": 3600}}},
            "#/spec/goal/budget_seconds",
            "jobs may take 3600 s",
        ),
        ({"spec": {"passes": [{"method": "magic"}]}}, "#/spec/passes/0", "dynamic_quantization"),
        ({"spec": SPEC | {"seed": -1}}, "#/spec/seed", "greater than or equal to 0"),
        (
            {"spec": SPEC | {"gates": {"max_size": 1}}},
            "#/spec/gates/max_size",
            "known ones are limits, max_accuracy_drop",
        ),
        (
            {"spec": SPEC | {"evaluation": {"metrics": [{"metric": "f1", "foo": 1}]}}},
            "#/spec/evaluation/metrics/0/foo",
            "known ones are",
        ),
        (
            {"spec": SPEC | {"goal": {"minimize": "size"}}},
            "#/spec",
            "give either passes or a goal",
        ),
        ({"labels": {"a": 1}}, "#/labels/a", "string"),
        ({"labels": {"a=b": "c"}}, "#/labels/a=b", "pattern"),
        ({"labels": {"": "c"}}, "#/labels/", "pattern"),
        ({"labels": {"k" * 64: "c"}}, "#/labels/kkk", "at most 63"),
        ({"labels": {"a": "b\n"}}, "#/labels/a", "pattern"),
        ({"labels": {"a": "v" * 256}}, "#/labels/a", "at most 255"),
        ({"labels": {f"k{i}": "" for i in range(65)}}, "#/labels", "at most 64"),
        ({"model_id": "../models"}, "#/model_id", "pattern"),
        ({"model_id": None}, "#/model_id", "string"),
    ],
)
def test_points_at_a_wrong_field(client, model, fields, pointer, words):
    response = submit(client, model, **fields)

    problem = response.json()
    assert response.status_code == 422
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert words in problem["errors"][0]["detail"]


@pytest.mark.parametrize("field", ["model_id", "calibration_dataset_id", "evaluation_dataset_id"])
def test_refuses_what_is_not_there(client, model, field):
    response = submit(client, model, **{field: "thing_0123"})

    assert response.status_code == 404
    assert "thing_0123" in response.json()["detail"]


def test_refuses_what_is_others(client, stranger, model):
    assert submit(stranger, model).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"a":' * 50 + b"1" + b"}" * 50, "application/json"),
        (b'{"a": 1, "a": 2}', "application/json"),
        (b'{"a": NaN}', "application/json"),
        (b'{"a": 1e999}', "application/json"),
        (b'{"a": "\\ud800"}', "application/json"),
        (b'{"a": "\\u0000"}', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"1" * 5000, "application/json"),
        (b"a: [", "application/yaml"),
        (b"[" * 50_000, "application/yaml"),
        (b"a: &x [1]\nb: [*x, *x]\n", "application/yaml"),
        (b"a: !!python/object/apply:os.system [ls]\n", "application/yaml"),
        (b"a: 2026-01-01\n", "application/yaml"),
        (b"a: .nan\n", "application/yaml"),
        (b"1: 2\n", "application/yaml"),
        (b"a: " + b"9:" * 300 + b"1.5", "application/yaml"),
        (b"\x00", "application/yaml"),
    ],
)
def test_refuses_a_malformed_document(client, content, kind):
    response = client.post("/v1/jobs", content=content, headers={"Content-Type": kind})

    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"


def test_refuses_a_document_over_a_megabyte(client):
    response = client.post(
        "/v1/jobs", content=b" " * (2**20 + 1), headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 413


def test_refuses_a_document_that_announces_more_than_a_megabyte(client):
    headers = {"Content-Type": "application/json", "Content-Length": str(10**12)}

    assert client.post("/v1/jobs", content=b"{}", headers=headers).status_code == 413


def test_refuses_an_unknown_content_type(client):
    response = client.post("/v1/jobs", content=b"x", headers={"Content-Type": "text/plain"})

    assert response.status_code == 415
    assert "application/yaml" in response.json()["detail"]


def test_an_idempotency_key_makes_one_job_of_two_calls(client, model, queue):
    headers = {"Idempotency-Key": "once"}
    body = {"model_id": model["id"], "spec": SPEC}

    first = client.post("/v1/jobs", json=body, headers=headers)
    second = client.post("/v1/jobs", json=body, headers=headers)

    assert first.status_code == second.status_code == 202
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotency-replayed"] == "true"
    assert queue.sent == [first.json()["id"]]


def test_an_idempotency_key_serves_one_request_only(client, model):
    headers = {"Idempotency-Key": "once"}
    body = {"model_id": model["id"], "spec": SPEC}
    client.post("/v1/jobs", json=body, headers=headers)

    response = client.post("/v1/jobs", json=body | {"labels": {"a": "b"}}, headers=headers)

    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_key_reused"


def test_lists_by_state_model_and_label(client, model):
    plain = submit(client, model).json()
    labelled = submit(client, model, labels={"team": "a=b"}).json()
    client.post(f"/v1/jobs/{plain['id']}/cancel")

    def ids(**query):
        return [it["id"] for it in client.get("/v1/jobs", params=query).json()["items"]]

    assert ids() == [labelled["id"], plain["id"]]
    assert ids(state="cancelled") == [plain["id"]]
    assert ids(label="team=a=b") == [labelled["id"]]
    assert ids(label="team=a") == []
    assert ids(model_id=model["id"], limit=1) == [labelled["id"]]
    assert ids(model_id="model_0") == []
    assert ids(created_after=plain["created_at"]) == [labelled["id"]]
    assert ids(cursor=labelled["id"]) == [plain["id"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=x", "state=done", "label=x", "label=%00=1", "label=a\"b=1",
        "label=a=%00", "cursor=%00", "model_id=%00",
        "created_after=2026-01-01T00:00:00", "created_after=9999-12-31T23:59:59-12:00", "page=2",
    ],
)  # fmt: skip
def test_refuses_a_wrong_filter(client, query):
    assert client.get(f"/v1/jobs?{query}").status_code == 422


def test_waits_until_the_job_ends(client, context, job):
    def cancel_soon():
        time.sleep(0.5)
        client.post(f"/v1/jobs/{job['id']}/cancel")

    thread = threading.Thread(target=cancel_soon)
    thread.start()
    response = client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=20"})
    thread.join()

    assert response.json()["state"] == "cancelled"
    assert response.headers["preference-applied"] == "wait=20"
    assert "retry-after" not in response.headers


def test_waits_no_longer_than_asked(client, job):
    started = time.monotonic()

    response = client.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "respond-async, wait=1"})

    assert 1 <= time.monotonic() - started < 5
    assert response.json()["state"] == "queued"
    assert response.headers["retry-after"] == "1"


def test_cancels_a_queued_job_at_once(client, job):
    response = client.post(f"/v1/jobs/{job['id']}/cancel")

    assert response.status_code == 202
    assert response.json()["state"] == "cancelled"
    assert response.json()["urls"]["cancel"] is None


def test_cancelling_a_running_job_waits_for_its_worker(client, context, job):
    claim(context, job)

    first = client.post(f"/v1/jobs/{job['id']}/cancel")
    again = client.post(f"/v1/jobs/{job['id']}/cancel")

    assert first.json()["state"] == again.json()["state"] == "cancelling"
    assert again.status_code == 202


def test_does_not_cancel_a_job_that_has_ended(client, context, job):
    fail(context, job)

    response = client.post(f"/v1/jobs/{job['id']}/cancel")

    assert response.status_code == 409
    assert "failed" in response.json()["detail"]


def test_retries_a_failed_job(client, context, job, queue):
    fail(context, job)
    assert client.get(f"/v1/jobs/{job['id']}").json()["error"]["code"] == "crashed"

    response = client.post(f"/v1/jobs/{job['id']}/retry")

    assert response.status_code == 202
    assert response.json()["state"] == "queued"
    assert response.json()["error"] is None
    assert queue.sent == [job["id"], job["id"]]


def test_does_not_retry_a_job_that_is_queued(client, job):
    response = client.post(f"/v1/jobs/{job['id']}/retry")

    assert response.status_code == 409
    assert response.json()["code"] == "job_not_retryable"


def test_does_not_retry_a_job_whose_model_was_deleted(client, context, model, job):
    fail(context, job)
    client.delete(f"/v1/models/{model['id']}")

    response = client.post(f"/v1/jobs/{job['id']}/retry")

    assert response.status_code == 409
    assert response.json()["code"] == "model_gone"


def test_logs_what_is_done_to_a_job(client, context, model, queue):
    with capture_logs() as logs:
        url = submit(client, model).json()["urls"]["self"]
        client.post(f"{url}/cancel")
        client.post(f"{url}/cancel")  # in vain
        queue.is_up = False
        client.post(f"{url}/retry")
        claim(context, {"id": url.rsplit("/", 1)[-1]})
        client.post(f"{url}/cancel")

    found = [(it["event"], f"/v1/jobs/{it['job_id']}") for it in logs if "job_id" in it]
    assert found == [
        ("job.submitted", url),
        ("job.cancelled", url),
        ("job.retried", url),
        ("job.not_sent", url),
        ("job.cancelling", url),
    ]


@pytest.mark.parametrize("method", ["cancel", "retry"])
def test_others_jobs_are_not_there(stranger, job, method):
    assert stranger.post(f"/v1/jobs/{job['id']}/{method}").status_code == 404
    assert stranger.get(f"/v1/jobs/{job['id']}").status_code == 404
