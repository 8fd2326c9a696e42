import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import onnx
import pytest

from app.migrations import migrate
from client.errors import CorruptedError, ProblemError, UnreachableError
from client.sdk import Client
from tests.onnx_models import small_convnet
from tests.running_service import Command, is_ready, wait_for

SPEC = {"passes": [{"method": "weight_quantization"}]}


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[Client]:
    """A client of a real API whose jobs nobody takes."""
    folder = tmp_path_factory.mktemp("data")
    migrate(f"sqlite:///{folder / 'onnxpress.db'}")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = {
        "ONNXPRESS_DATA_DIR": str(folder),
        "ONNXPRESS_REDIS_URL": f"redis+socket://{folder}/none",
    }
    api = Command(["api", "--port", str(port)], settings)
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: is_ready(url))
    with Client(url) as client:
        yield client
    api.stop()


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "small.onnx"
    onnx.save(small_convnet(), path)
    return path


@pytest.fixture
def answering() -> Iterator[type[BaseHTTPRequestHandler]]:
    """A server that sends whatever the test puts on its handler class."""

    class Handler(BaseHTTPRequestHandler):
        status = 200
        etag = ""
        content = b""

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.send_header("ETag", self.etag)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    Handler.url = f"http://127.0.0.1:{server.server_port}"
    yield Handler
    server.shutdown()
    server.server_close()


def test_uploads_a_model_and_is_told_what_it_is(client, model_file):
    model = client.upload_model(model_file)

    assert model.name == "small.onnx"
    assert model.sha256 == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert client.upload_model(model_file) == model


def test_foretells_what_becomes_of_a_model_and_takes_the_advice(client, model_file):
    model = client.upload_model(model_file)

    preflight = client.preflight(model.id)
    job = client.submit(model.id, preflight["recommended_without_data"]["spec"])

    assert preflight["model"]["size_bytes"] == model_file.stat().st_size
    assert job.spec == preflight["recommended_without_data"]["spec"]


def test_the_same_idempotency_key_is_the_same_job(client, model_file):
    model = client.upload_model(model_file)

    jobs = [client.submit(model.id, SPEC, idempotency_key="once") for _ in range(2)]

    assert jobs[0].id == jobs[1].id


def test_cancels_and_retries_a_job(client, model_file):
    job = client.submit(client.upload_model(model_file).id, SPEC, labels={"team": "vision"})

    states = [client.cancel(job.id).state, client.get(job.id).state, client.retry(job.id).state]

    assert states == ["cancelled", "cancelled", "queued"]
    assert client.get(job.id).labels == {"team": "vision"}


def test_waiting_ends_with_the_timeout(client, model_file):
    job = client.submit(client.upload_model(model_file).id, SPEC)

    with pytest.raises(TimeoutError, match=f"job {job.id} is queued after 1 s"):
        client.wait(job.id, timeout_seconds=1)


def test_submits_cancels_and_retries_a_sweep(client, model_file):
    plan = {"spec": SPEC, "grid": {"/passes/0/bits": [8, 4]}, "best_by": {"minimize": "size"}}
    model = client.upload_model(model_file)

    sweep = client.submit_sweep(model.id, plan, labels={"team": "vision"})
    states = [client.cancel_sweep(sweep.id).state, client.retry_sweep(sweep.id).state]

    assert states == ["cancelled", "queued"]
    assert [job.difference["/passes/0/bits"] for job in client.get_sweep(sweep.id).jobs] == [8, 4]
    assert sweep.best.reason == "no job has succeeded yet"
    assert client.sweep_table(sweep.id).startswith(f"# Sweep {sweep.id}\n")
    assert client.get(sweep.jobs[0].id).labels == {"team": "vision"}


def test_the_same_idempotency_key_is_the_same_sweep(client, model_file):
    model = client.upload_model(model_file)
    plan = {"specs": [SPEC]}

    sweeps = [client.submit_sweep(model.id, plan, idempotency_key="sweep") for _ in range(2)]

    assert sweeps[0].id == sweeps[1].id


def test_waiting_for_a_sweep_ends_with_the_timeout(client, model_file):
    sweep = client.submit_sweep(client.upload_model(model_file).id, {"specs": [SPEC]})

    with pytest.raises(TimeoutError, match=f"sweep {sweep.id} is queued after 1 s"):
        client.wait_sweep(sweep.id, timeout_seconds=1)


def test_a_problem_says_what_to_change(client, model_file):
    model = client.upload_model(model_file)

    with pytest.raises(ProblemError, match="unknown field") as caught:
        client.submit(model.id, {"passes": [{"method": "weight_quantization", "bitz": 8}]})

    assert caught.value.problem.status == 422
    assert caught.value.problem.errors[0].pointer == "#/spec/passes/0/bitz"


def test_refuses_bytes_that_are_no_model(client, tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"no model")

    with pytest.raises(ProblemError) as caught:
        client.upload_model(tmp_path / "no.onnx")

    assert caught.value.problem.code == "invalid_model"


def test_saves_an_artifact_whose_digest_is_right(answering, tmp_path):
    answering.content = b"compressed"
    answering.etag = f'"{hashlib.sha256(b"compressed").hexdigest()}"'

    with Client(answering.url) as client:
        client.download_artifact("job_1", tmp_path / "model.onnx")

    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"compressed"


def test_keeps_nothing_of_an_artifact_whose_digest_is_wrong(answering, tmp_path):
    answering.content = b"compressed"
    answering.etag = '"0000"'

    with Client(answering.url) as client, pytest.raises(CorruptedError, match="not 0000"):
        client.download_artifact("job_1", tmp_path / "model.onnx")

    assert list(tmp_path.iterdir()) == []


def test_an_answer_of_somebody_else_is_an_error_too(answering):
    answering.status = 502
    answering.content = b"<html>Bad Gateway</html>"

    with Client(answering.url) as client, pytest.raises(ProblemError, match="Bad Gateway"):
        client.get("job_1")


def test_says_that_nobody_answers():
    with Client("http://127.0.0.1:1") as client, pytest.raises(UnreachableError, match=r":1: "):
        client.get("job_1")
