import threading
import time

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from app.repositories import jobs, reaping
from tests.app.conftest import dataset_bytes

WEIGHTS = {"passes": [{"method": "weight_quantization"}]}
SPECS = [WEIGHTS, {"passes": [{"method": "float16"}]}, {"passes": [{"method": "magic"}]}]
LONG_GOAL = {"goal": {"minimize": "size", "budget_seconds": 3600}}
GRID = {"spec": WEIGHTS, "grid": {"/passes/0/bits": [8, 4]}}
METRICS = {
    "size_bytes_after": 250,
    "size_ratio": 0.25,
    "latency_ratio": 0.5,
    "min_sqnr_db": 30.0,
    "min_agreement": None,
    "is_equal": False,
    "accuracy_drop": 0.0,
    "scores": [{"metric": "top1", "output": "y", "before": 0.9, "after": 0.9}],
    "data": "dataset",
}
GATE = {"gate": "min_sqnr_db", "limit": 20, "measured": 30, "detail": "30 is within", "data": "x"}


def submit(client, model, **fields):
    return client.post("/v1/sweeps", json={"model_id": model["id"]} | (fields or GRID))


@pytest.fixture
def sweep(client, model):
    """A sweep of two queued jobs, the best of which is to be the smallest."""
    return submit(client, model, **GRID, best_by={"minimize": "size"}).json()


def finish(context, job, passed=True, **metrics):
    verdict = {"passed": passed, "summary": "x", "gates": [GATE | {"passed": passed}]}
    with context.session_factory.begin() as session:
        token = jobs.claim(session, job["id"], lease_seconds=60, max_attempts=9).token
        figures = METRICS | metrics
        jobs.finish(session, job["id"], token, verdict=verdict, metrics=figures, retention=None)


def fail(context, job):
    error = {"type": "urn:x", "title": "x", "status": 422, "detail": "a|b", "code": "crashed"}
    with context.session_factory.begin() as session:
        token = jobs.claim(session, job["id"], lease_seconds=60, max_attempts=9).token
        jobs.fail(session, job["id"], token, error=error, retention=None)


def read(client, sweep, **headers):
    return client.get(f"/v1/sweeps/{sweep['id']}", headers=headers)


def test_makes_a_job_of_each_spec_of_a_grid(client, model, queue):
    response = submit(client, model, **GRID, labels={"team": "vision"})

    sweep = response.json()
    url = f"/v1/sweeps/{sweep['id']}"
    assert response.status_code == 202
    assert response.headers["location"] == url
    assert (sweep["state"], sweep["progress"]) == ("queued", 0)
    assert sweep["job_counts"]["queued"] == 2
    assert [it["difference"] for it in sweep["jobs"]] == [
        {"/passes/0/bits": 8},
        {"/passes/0/bits": 4},
    ]
    assert queue.sent == [it["id"] for it in sweep["jobs"]]
    assert sweep["best"] is sweep["best_by"] is None
    assert sweep["urls"] == {
        "self": url,
        "jobs": f"/v1/jobs?sweep_id={sweep['id']}",
        "cancel": f"{url}/cancel",
        "retry": None,
    }
    job = client.get(sweep["jobs"][1]["url"]).json()
    assert job["spec"]["passes"][0]["bits"] == 4
    assert (job["sweep_id"], job["labels"]) == (sweep["id"], {"team": "vision"})
    assert client.get(url).json() == sweep


def test_makes_a_job_of_each_spec_of_a_list(client, model, dataset):
    specs = [WEIGHTS, {"passes": [{"method": "float16"}], "seed": 7}]

    sweep = submit(client, model, specs=specs, calibration_dataset_id=dataset["id"]).json()

    assert [it["difference"] for it in sweep["jobs"]] == [
        {"/passes/0/method": "weight_quantization"},
        {"/passes/0/method": "float16", "/seed": 7},
    ]
    found = [client.get(it["url"]).json() for it in sweep["jobs"]]
    assert [it["calibration_dataset_id"] for it in found] == [dataset["id"]] * 2
    assert [it["spec"]["seed"] for it in found] == [0, 7]


def test_takes_yaml(client, model):
    text = f"""
model_id: {model["id"]}
spec: {{passes: [{{method: weight_quantization}}]}}
grid: {{/passes/0/bits: [8, 4]}}
"""

    response = client.post("/v1/sweeps", content=text, headers={"Content-Type": "application/yaml"})

    assert (response.status_code, len(response.json()["jobs"])) == (202, 2)


def test_accepts_a_sweep_while_the_broker_is_down(client, model, queue, context):
    queue.is_up = False

    sweep = submit(client, model).json()

    with context.session_factory() as session:
        due = reaping.due_for_sending(session)
    assert {it["id"] for it in sweep["jobs"]} <= set(due)


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ({"specs": SPECS}, "#/specs/2/passes/0", "weight_quantization"),
        ({"specs": []}, "#/specs", "at least 1"),
        ({"specs": {}}, "#/specs", "list"),
        ({"specs": [1]}, "#/specs/0", "Spec"),
        ({"specs": [WEIGHTS, WEIGHTS]}, "#/specs/1", "the same as #/specs/0"),
        ({"specs": [WEIGHTS] * 65}, "#/specs", "65 specs; a sweep may have 64"),
        ({"specs": [{}] * 20_000}, "#/specs", "20000 specs"),
        ({"specs": [WEIGHTS], **GRID}, "#/", "either specs, or spec and grid"),
        ({"spec": WEIGHTS}, "#/", "either specs, or spec and grid"),
        ({"grid": {"/seed": [1]}}, "#/", "either specs, or spec and grid"),
        (GRID | {"grid": {}}, "#/grid", "at least 1"),
        (GRID | {"grid": {"/seed": []}}, "#/grid/~1seed", "at least 1"),
        (GRID | {"grid": {"/seed": 1}}, "#/grid/~1seed", "list"),
        (GRID | {"grid": {"seed": [1]}}, "#/grid/seed", "pattern"),
        (GRID | {"grid": {"/": [1]}}, "#/grid/~1", "pattern"),
        (GRID | {"grid": {"/a~2": [1]}}, "#/grid/~1a~02", "pattern"),
        (GRID | {"grid": {"/passes/0/bitz": [1]}}, "#/grid/~1passes~10~1bitz", "no such place"),
        (GRID | {"grid": {"/seed": ["x"]}}, "#/grid/~1seed/0", "integer"),
        (GRID | {"grid": {"/seed": [1, 1]}}, "#/grid", "the same as combination 0"),
        (GRID | {"grid": {"/seed": [*range(65)]}}, "#/grid", "65 specs; a sweep may have 64"),
        (
            GRID | {"grid": {f"/passes/{axis}": [*range(99)] for axis in range(16)}},
            "#/grid",
            f"{99**16} specs",
        ),
        (GRID | {"best_by": {"minimize": "joy"}}, "#/best_by/minimize", "latency"),
        (GRID | {"best_by": {"within": {}}}, "#/best_by/minimize", "required"),
        (
            GRID | {"best_by": {"minimize": "size", "within": {"max_size": 1}}},
            "#/best_by/within/max_size",
            "known ones are limits, max_accuracy_drop",
        ),
        (
            {
                "specs": [WEIGHTS | {"gates": {"min_sqnr_db": 30}}],
                "best_by": {"minimize": "size", "within": {"min_sqnr_db": 20}},
            },
            "#/best_by/within/min_sqnr_db",
            "another limit",
        ),
        ({"specs": [WEIGHTS, LONG_GOAL]}, "#/specs/1/goal/budget_seconds", "3600 s"),
        (
            {"spec": LONG_GOAL, "grid": {"/seed": [1]}},
            "#/spec/goal/budget_seconds",
            "3600 s",
        ),
        (GRID | {"webhook": "https://x"}, "#/webhook", "known ones are best_by, "),
        (GRID | {"model_id": "../x"}, "#/model_id", "pattern"),
    ],
)
def test_points_at_what_is_wrong_and_queues_nothing(client, model, queue, fields, pointer, words):
    response = submit(client, model, **fields)

    problem = response.json()
    assert response.status_code == 422
    assert problem["errors"][0]["pointer"].startswith(pointer)
    assert words in problem["errors"][0]["detail"]
    assert queue.sent == []
    assert client.get("/v1/sweeps").json()["items"] == []


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"1", "application/json", 422),
        (b'{"specs": [' + b"[" * 60 + b"]" * 60 + b"]}", "application/json", 400),
        (b" " * (2**20 + 1), "application/json", 413),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data; boundary=x", 415),
    ],
)
def test_refuses_a_malformed_document(client, content, kind, status):
    response = client.post("/v1/sweeps", content=content, headers={"Content-Type": kind})

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_refuses_specs_that_are_too_long_together(client, model):
    base = {"passes": [{"method": "static_quantization", "nodes_to_exclude": ["n" * 200_000]}]}

    response = submit(client, model, spec=base, grid={"/seed": [*range(64)]})

    assert response.status_code == 413


@pytest.mark.parametrize("field", ["model_id", "calibration_dataset_id", "evaluation_dataset_id"])
def test_refuses_what_is_not_there(client, model, field):
    response = submit(client, model, **GRID, **{field: "thing_0123"})

    assert response.status_code == 404
    assert client.get("/v1/jobs").json()["items"] == []


def test_refuses_a_dataset_that_does_not_fit_the_model(client, model):
    other = client.post("/v1/datasets", content=dataset_bytes(5)).json()

    response = submit(client, model, **GRID, evaluation_dataset_id=other["id"])

    assert (response.status_code, response.json()["code"]) == (422, "invalid_dataset")


def test_the_gates_of_the_wish_are_gates_of_every_job(client, model):
    limits = [{"figure": name, "at_most": 9} for name in ("after.macs", "latency.threads")]
    spec = WEIGHTS | {"gates": {"max_size_ratio": 0.5, "limits": limits[:1]}}
    within = {"max_accuracy_drop": 0.01, "max_size_ratio": 0.5, "limits": limits[1:]}
    wish = {"minimize": "size", "within": within}

    sweep = submit(client, model, specs=[spec], best_by=wish).json()

    gates = client.get(sweep["jobs"][0]["url"]).json()["spec"]["gates"]
    assert (gates["max_accuracy_drop"], gates["max_size_ratio"]) == (0.01, 0.5)
    assert [it["figure"] for it in gates["limits"]] == ["after.macs", "latency.threads"]
    assert sweep["best_by"]["within"]["max_accuracy_drop"] == 0.01


def test_the_gates_of_the_wish_are_limits_of_a_goal(client, model):
    goal = {"minimize": "size", "within": {"min_cosine": 0.9}, "budget_seconds": 60}
    wish = {"minimize": "latency", "within": {"min_sqnr_db": 20}}

    sweep = submit(client, model, specs=[{"goal": goal}], best_by=wish).json()

    within = client.get(sweep["jobs"][0]["url"]).json()["spec"]["goal"]["within"]
    assert (within["min_cosine"], within["min_sqnr_db"]) == (0.9, 20)


def test_an_idempotency_key_makes_one_sweep_of_two_calls(client, model, queue):
    headers = {"Idempotency-Key": "once"}
    body = {"model_id": model["id"]} | GRID

    first = client.post("/v1/sweeps", json=body, headers=headers)
    second = client.post("/v1/sweeps", json=body, headers=headers)
    other = client.post("/v1/sweeps", json=body | {"labels": {"a": "b"}}, headers=headers)
    job = {"model_id": model["id"], "spec": WEIGHTS}
    as_job = client.post("/v1/jobs", json=job, headers=headers)

    assert first.json()["id"] == second.json()["id"]
    assert second.headers["idempotency-replayed"] == "true"
    assert len(queue.sent) == 2
    assert other.json()["code"] == as_job.json()["code"] == "idempotency_key_reused"


def test_compares_the_jobs_and_names_the_best(client, context, sweep):
    large, small = sweep["jobs"]
    finish(context, large, size_ratio=0.25, min_sqnr_db=40.0)
    half = read(client, sweep).json()
    finish(context, small, size_ratio=0.15, min_sqnr_db=25.0, accuracy_drop=0.02)

    whole = read(client, sweep).json()

    assert (half["state"], half["progress"]) == ("running", 0.5)
    assert half["best"]["reason"].endswith("so far")
    assert (whole["state"], whole["progress"]) == ("succeeded", 1)
    assert whole["job_counts"]["succeeded"] == 2
    assert whole["quality"] == "accuracy_drop"
    assert whole["pareto_front"] == [large["id"], small["id"]]
    assert whole["best"] == {
        "id": small["id"],
        "reason": "the smallest of 2 jobs whose gates hold",
    }
    row = whole["jobs"][1]
    assert (row["size_ratio"], row["latency_ratio"], row["min_sqnr_db"]) == (0.15, 0.5, 25.0)
    assert (row["accuracy_drop"], row["on_pareto_front"]) == (0.02, True)
    assert row["scores"] == METRICS["scores"]
    assert row["verdict"]["passed"]
    assert whole["urls"]["cancel"] is whole["urls"]["retry"] is None


def test_a_sweep_that_partly_failed_says_so(client, context, sweep):
    finish(context, sweep["jobs"][0], passed=False)
    fail(context, sweep["jobs"][1])

    found = read(client, sweep).json()

    assert found["state"] == "partly_failed"
    assert found["jobs"][1]["error"]["code"] == "crashed"
    assert found["jobs"][1]["size_ratio"] is None
    assert found["best"]["id"] is None
    assert "misses min_sqnr_db" in found["best"]["reason"]


def test_draws_the_comparison_as_a_table(client, context, sweep):
    first, second = sweep["jobs"]
    finish(context, first)
    fail(context, second)

    response = read(client, sweep, Accept="text/markdown")

    lines = response.text.splitlines()
    assert response.headers["content-type"].startswith("text/markdown")
    assert response.headers["vary"] == "Accept"
    assert lines[0] == f"# Sweep {sweep['id']}"
    assert f"Best (smallest): **{first['id']}**, the only job whose gates hold." in lines
    assert (
        "|  | Spec | State | Size | Latency | top1 | Accuracy drop | Worst SQNR, dB | Gates |"
        in lines
    )
    assert (
        "| \u25cf | **`/passes/0/bits = 8`** | succeeded | 250 B, 25.0% | 0.50 | 0.9 to 0.9"
        " | +0.0000 | 30.0 | 1 of 1 hold |" in lines
    )
    assert "|   | `/passes/0/bits = 4` | failed | - | - | - | - | - | - |" in lines
    assert f"- {second['id']}: a\\|b" in lines


def test_offers_no_other_form(client, sweep):
    assert read(client, sweep, Accept="text/html").status_code == 406


def test_lists_the_sweeps_newest_first(client, context, model, sweep):
    fail(context, sweep["jobs"][0])
    time.sleep(0.002)  # ids sort by the millisecond
    other = submit(client, model).json()

    page = client.get("/v1/sweeps", params={"limit": 1, "model_id": model["id"]}).json()
    rest = client.get("/v1/sweeps", params={"cursor": page["next_cursor"]}).json()

    assert [it["id"] for it in page["items"]] == [other["id"]]
    (listed,) = rest["items"]
    assert (listed["id"], listed["state"]) == (sweep["id"], "running")
    assert listed["job_counts"] == {
        "queued": 1, "running": 0, "cancelling": 0, "succeeded": 0, "failed": 1, "cancelled": 0
    }  # fmt: skip
    assert "jobs" not in listed
    assert client.get("/v1/sweeps", params={"model_id": "model_0"}).json()["items"] == []


def test_lists_the_jobs_of_a_sweep(client, model, sweep, job):
    found = client.get(sweep["urls"]["jobs"]).json()["items"]

    assert {it["id"] for it in found} == {it["id"] for it in sweep["jobs"]}
    assert job["sweep_id"] is None


def test_waits_until_all_jobs_have_ended(client, context, sweep):
    def end_one_by_one():
        for job in sweep["jobs"]:
            time.sleep(0.3)
            finish(context, job)

    thread = threading.Thread(target=end_one_by_one)
    thread.start()
    response = read(client, sweep, Prefer="wait=20")
    thread.join()

    assert response.json()["state"] == "succeeded"
    assert response.headers["preference-applied"] == "wait=20"
    assert "retry-after" not in response.headers


def test_waits_no_longer_than_asked(client, sweep):
    response = read(client, sweep, Prefer="wait=1")

    assert response.json()["state"] == "queued"
    assert response.headers["retry-after"] == "1"


def test_cancels_and_retries_all_jobs_as_one(client, context, sweep, queue):
    finish(context, sweep["jobs"][0])

    cancelled = client.post(f"/v1/sweeps/{sweep['id']}/cancel")
    again = client.post(f"/v1/sweeps/{sweep['id']}/cancel")
    queue.sent.clear()
    retried = client.post(f"/v1/sweeps/{sweep['id']}/retry")

    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert cancelled.json()["job_counts"]["succeeded"] == 1
    assert cancelled.json()["urls"]["retry"].endswith("/retry")
    assert (again.status_code, again.json()["code"]) == (409, "sweep_ended")
    assert (retried.status_code, retried.json()["state"]) == (202, "running")
    assert queue.sent == [sweep["jobs"][1]["id"]]


def test_logs_what_is_done_to_each_job(client, model):
    with capture_logs() as logs:
        sweep = submit(client, model).json()
        client.post(f"/v1/sweeps/{sweep['id']}/cancel")
        client.post(f"/v1/sweeps/{sweep['id']}/retry")

    found = {(it["event"], it["job_id"], it["sweep_id"]) for it in logs if "job_id" in it}
    events = ["job.submitted", "job.cancelled", "job.retried"]
    assert found == {(it, job["id"], sweep["id"]) for it in events for job in sweep["jobs"]}


def test_does_not_retry_what_has_not_failed(client, sweep):
    response = client.post(f"/v1/sweeps/{sweep['id']}/retry")

    assert (response.status_code, response.json()["code"]) == (409, "sweep_not_retryable")


def test_does_not_retry_a_sweep_whose_model_was_deleted(client, model, sweep):
    client.post(f"/v1/sweeps/{sweep['id']}/cancel")
    client.delete(f"/v1/models/{model['id']}")

    response = client.post(f"/v1/sweeps/{sweep['id']}/retry")

    assert (response.status_code, response.json()["code"]) == (409, "model_gone")
    assert read(client, sweep).json()["state"] == "cancelled"


def test_others_sweeps_are_not_there(client, stranger, model, sweep):
    for method in ("cancel", "retry"):
        assert stranger.post(f"/v1/sweeps/{sweep['id']}/{method}").status_code == 404
    assert read(stranger, sweep).status_code == 404
    assert stranger.get("/v1/sweeps").json()["items"] == []
    assert stranger.get(sweep["urls"]["jobs"]).json()["items"] == []
    assert submit(stranger, model).status_code == 404


def test_a_reader_may_look_only(reader, client, model, sweep):
    assert read(reader, sweep).status_code == reader.get("/v1/sweeps").status_code == 200
    assert submit(reader, model).status_code == 403
    for method in ("cancel", "retry"):
        assert reader.post(f"/v1/sweeps/{sweep['id']}/{method}").status_code == 403


@pytest.fixture
def statements(context):
    """What the database is asked from here on."""
    found = []

    def note(_connection, _cursor, statement, *_):
        found.append(statement)

    engine = context.session_factory.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("call", ["submit", "read", "cancel", "retry"])
def test_a_large_sweep_takes_as_many_queries_as_a_small_one(client, model, statements, call):
    def count(size):
        statements.clear()
        sweep = submit(client, model, spec=WEIGHTS, grid={"/seed": [*range(size)]}).json()
        if call == "submit":
            return len(statements)
        if call == "retry":
            client.post(f"/v1/sweeps/{sweep['id']}/cancel")
        statements.clear()
        url = f"/v1/sweeps/{sweep['id']}"
        response = client.get(url) if call == "read" else client.post(f"{url}/{call}")
        assert response.is_success
        return len(statements)

    assert count(2) == count(60) > 0
