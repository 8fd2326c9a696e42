"""The main job over real HTTP, with every part a real process, in both shapes of the service.

`embedded` is what `onnxpress up` starts; `production` runs the commands of docker-compose.yml on
PostgreSQL, a Redis-protocol server over TCP and an S3-protocol server.
"""

import hashlib
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import redis
import yaml
from onnx import TensorProto, helper, numpy_helper

from app.broker import find_server
from app.resources import resource_folder
from client.errors import ProblemError
from client.sdk import Client
from tests.running_service import (
    Command,
    Up,
    children,
    command_line,
    descendants,
    is_ready,
    wait_for,
)
from tests.servers import S3, Postgres

DIGITS = resource_folder("examples") / "digits"
STATIC = {"passes": [{"method": "static_quantization", "per_channel": True}]}
QUICK_RECOVERY = {
    "ONNXPRESS_LEASE_SECONDS": "3",
    "ONNXPRESS_HEARTBEAT_SECONDS": "0.5",
    "ONNXPRESS_REAPER_SECONDS": "1",
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


class Embedded:
    """`onnxpress up`, which can be ended and started again at the same address."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._port = free_port()
        self.start()

    def start(self) -> None:
        self.up = Up(self._data_dir, QUICK_RECOVERY, self._port)


@pytest.fixture(scope="module")
def service(data_dir) -> Iterator[Embedded]:
    service = Embedded(data_dir)
    yield service
    assert service.up.stop() == 0


@pytest.fixture(scope="module")
def embedded(service) -> Iterator[Client]:
    with Client(service.up.url) as client:
        yield client


@pytest.fixture(scope="module")
def production(postgres: Postgres, s3_server: S3, tmp_path_factory) -> Iterator[Client]:
    compose = yaml.safe_load(
        (resource_folder("examples").parent / "docker-compose.yml").read_text()
    )
    commands = {name: service.get("command") for name, service in compose["services"].items()}
    with ExitStack() as stack:
        settings = {
            "ONNXPRESS_DATABASE_URL": new_database(postgres),
            "ONNXPRESS_REDIS_URL": stack.enter_context(running_redis()),
            "ONNXPRESS_STORAGE_URL": s3_server.create_bucket("flow"),
            "ONNXPRESS_S3_ENDPOINT": s3_server.endpoint,
            "ONNXPRESS_AUTH": "keys",
            "ONNXPRESS_DATA_DIR": str(tmp_path_factory.mktemp("spool")),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            **QUICK_RECOVERY,
        }
        assert run(commands["migrate"], settings)[0] == 0
        _, key = run(["keys", "create", "--name", "flow"], settings)
        worker = Command(commands["worker"], settings)
        stack.callback(worker.stop)
        port = free_port()
        api = Command([str(port) if part == "8000" else part for part in commands["api"]], settings)
        stack.callback(api.stop)
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_ready(url))
        yield stack.enter_context(Client(url, key.strip()))


@pytest.fixture(params=["embedded", "production"])
def client(request) -> Client:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory) -> Path:
    """A convolution that takes milliseconds, so that many timed runs make a job last."""
    weight = np.random.default_rng(0).normal(size=(16, 16, 3, 3)).astype(np.float32) / 12
    shape = (1, 16, 192, 192)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path_factory.mktemp("model") / "slow.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def small_task(tmp_path_factory) -> Path:
    """A model of two layers with samples, of which a search has tried all there is in a second."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(64, 64)).astype(np.float32) / 8
    classes = random.normal(size=(64, 10)).astype(np.float32) / 8
    nodes = [
        helper.make_node("MatMul", ["x", "hidden"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["features"]),
        helper.make_node("MatMul", ["features", "classes"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(hidden, "hidden"), numpy_helper.from_array(classes, "classes")],
    )
    folder = tmp_path_factory.mktemp("small")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    calibration, evaluation = random.normal(size=(2, 128, 64)).astype(np.float32)
    labels = (np.maximum(evaluation @ hidden, 0) @ classes).argmax(1)
    np.savez(folder / "calibration.npz", x=calibration)
    np.savez(folder / "evaluation.npz", x=evaluation, labels=labels)
    return folder


def new_database(postgres: Postgres) -> str:
    postgres.execute("CREATE DATABASE flow")
    return postgres.url("flow")


def run(arguments: list[str], settings: dict[str, str]) -> tuple[int, str]:
    command = Command(arguments, settings)
    command.wait(60)
    output = command.output()
    return command.stop(), output


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running_redis() -> Iterator[str]:
    port, password = free_port(), secrets.token_hex(8)
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", password]
    server = subprocess.Popen([find_server(), *arguments, "--save", ""], stdout=subprocess.DEVNULL)
    with redis.Redis(port=port, password=password) as connection:
        wait_for(connection.ping)
    yield f"redis://:{password}@127.0.0.1:{port}/1"
    server.terminate()
    server.wait(10)


def timed_spec(runs: int) -> dict[str, object]:
    """What takes little more than the timed runs of a model."""
    return {
        "passes": [{"method": "weight_quantization"}],
        "evaluation": {"latency": {"runs": runs}, "blame": None},
    }


def wait_until_running(client: Client, job_id: str) -> None:
    wait_for(lambda: client.get(job_id).stage not in {None, "starting"}, 30)


def test_compresses_a_real_model_and_proves_it(client, tmp_path):
    model = client.upload_model(DIGITS / "digits.onnx")
    calibration = client.upload_dataset(DIGITS / "calibration.npz", model.id)
    evaluation = client.upload_dataset(DIGITS / "evaluation.npz", model.id)
    job = client.submit(
        model.id,
        STATIC | {"gates": {"max_size_ratio": 0.5, "max_accuracy_drop": 0.01}},
        calibration_dataset_id=calibration.id,
        evaluation_dataset_id=evaluation.id,
        labels={"team": "vision"},
    )

    job = client.wait(job.id, 60)
    artifact = tmp_path / "compressed.onnx"
    sha256 = client.download_artifact(job.id, artifact)
    report = client.report(job.id)

    assert (job.state, job.error) == ("succeeded", None)
    assert job.verdict.passed
    assert sha256 == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert sha256 == report["manifest"]["artifact_sha256"]
    assert report["after"]["size_bytes"] == artifact.stat().st_size < model.size_bytes / 2
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    with np.load(DIGITS / "evaluation.npz") as data:
        (logits,) = session.run(None, {"image": data["image"]})
        assert (logits.argmax(1) == data["labels"]).mean() == report["accuracy"][0]["after"]


def test_a_goal_finds_the_smallest_model_that_is_good_enough(client, tmp_path, small_task):
    model = client.upload_model(small_task / "model.onnx")
    calibration = client.upload_dataset(small_task / "calibration.npz", model.id)
    evaluation = client.upload_dataset(small_task / "evaluation.npz", model.id)
    limits = {"max_accuracy_drop": 0.05, "max_latency_ratio": 20.0}
    job = client.submit(
        model.id,
        {"goal": {"minimize": "size", "within": limits, "budget_seconds": 30}},
        calibration_dataset_id=calibration.id,
        evaluation_dataset_id=evaluation.id,
    )

    job = client.wait(job.id, 60)
    sha256 = client.download_artifact(job.id, tmp_path / "chosen.onnx")
    client.download_artifact(job.id, tmp_path / "next.onnx", alternative=1)
    frontier = client.report(job.id)["frontier"]
    roles = {point["role"]: point for point in frontier["points"]}
    again = client.submit(
        model.id,
        roles["chosen"]["spec"],
        calibration_dataset_id=calibration.id,
        evaluation_dataset_id=evaluation.id,
    )
    again = client.wait(again.id, 60)

    assert (job.state, job.error) == ("succeeded", None)
    assert job.verdict.passed
    assert frontier["is_met"]
    assert (tmp_path / "chosen.onnx").stat().st_size == roles["chosen"]["size_bytes"]
    assert roles["chosen"]["size_bytes"] < model.size_bytes / 3
    assert (tmp_path / "next.onnx").stat().st_size == roles["alternative_1"]["size_bytes"]
    assert sha256 == client.download_artifact(again.id, tmp_path / "again.onnx")


def test_a_sweep_compares_real_results_and_names_the_best(client):
    model = client.upload_model(DIGITS / "digits.onnx")
    evaluation = client.upload_dataset(DIGITS / "evaluation.npz", model.id)
    quick = {"evaluation": {"latency": {"runs": 3}}}
    eight_bits, four_bits, impossible = (
        {"passes": [{"method": "weight_quantization", "bits": 8}]},
        {"passes": [{"method": "weight_quantization", "bits": 4}]},
        {"passes": [{"method": "weight_quantization", "minimum_values": 1_000_000_000}]},
    )
    plan = {
        "specs": [spec | quick for spec in (eight_bits, four_bits, impossible)],
        "best_by": {"minimize": "size", "within": {"max_accuracy_drop": 0.02}},
    }
    sweep = client.submit_sweep(model.id, plan, evaluation_dataset_id=evaluation.id)

    sweep = client.wait_sweep(sweep.id, 120)

    eight, four, failed = sweep.jobs
    assert (sweep.state, failed.error.code) == ("partly_failed", "nothing_to_compress")
    assert four.size_bytes < eight.size_bytes < model.size_bytes
    assert sweep.best.id == four.id
    assert four.id in sweep.pareto_front
    assert failed.id not in sweep.pareto_front
    report = client.report(four.id)
    assert four.size_bytes == report["after"]["size_bytes"]
    assert four.latency_ratio == round(report["latency"]["ratio"], 2)
    assert four.scores[0]["after"] == report["accuracy"][0]["after"]
    assert [gate["gate"] for gate in four.verdict.gates] == ["max_accuracy_drop"]
    table = client.sweep_table(sweep.id)
    assert f"{four.size_bytes:,} B" in table
    assert failed.error.detail.split(":")[0] in table


def test_a_job_that_cannot_work_says_why_and_can_be_retried(client, slow_model):
    model = client.upload_model(slow_model)
    spec = {"passes": [{"method": "weight_quantization", "minimum_values": 1_000_000_000}]}
    failed = client.wait(client.submit(model.id, spec).id, 60)

    retried = client.wait(client.retry(failed.id).id, 60)

    assert (failed.state, failed.error.code) == ("failed", "nothing_to_compress")
    assert (retried.state, retried.error) == ("failed", failed.error)
    with pytest.raises(ProblemError, match="409"):
        client.report(failed.id)


def test_cancels_a_running_job_within_seconds(client, slow_model):
    model = client.upload_model(slow_model)
    job = client.submit(model.id, timed_spec(1000))
    wait_until_running(client, job.id)

    client.cancel(job.id)

    assert client.wait(job.id, 10).state == "cancelled"
    with pytest.raises(ProblemError, match="409"):
        client.cancel(job.id)


@pytest.mark.parametrize("part", ["valkey-server", "celery", "pool process", "sandbox", "api"])
def test_a_job_survives_the_kill_of(part, embedded, data_dir, slow_model):
    supervisor = int((data_dir / "lock").read_text().split()[1])
    model = embedded.upload_model(slow_model)
    job = embedded.submit(model.id, timed_spec(150))
    wait_until_running(embedded, job.id)

    pids = find_processes(supervisor, part)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    assert pids
    assert embedded.wait(job.id, 60).state == "succeeded"
    assert embedded.report(job.id)["verdict"]["passed"]


def find_processes(supervisor: int, part: str) -> list[int]:
    """Return the process ids of a part; the worker's pool and its sandboxes lie below it."""
    if part == "pool process":
        return [below for pid in find_processes(supervisor, "celery") for below in children(pid)]
    if part == "sandbox":
        pools = find_processes(supervisor, "pool process")
        return [below for pid in pools for below in children(pid)]
    return [pid for pid in children(supervisor) if part in command_line(pid)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_up_again_goes_on_where_it_was_ended_by(number, service, embedded, tmp_path, slow_model):
    model = embedded.upload_model(slow_model)
    finished = embedded.wait(embedded.submit(model.id, timed_spec(3)).id, 60)
    running = embedded.submit(model.id, timed_spec(150))
    queued = embedded.submit(model.id, timed_spec(3))
    wait_until_running(embedded, running.id)
    processes = descendants(service.up.pid)

    service.up.stop(number)

    wait_for(lambda: not any(command_line(pid) for pid in processes), 10)
    service.start()
    assert embedded.get(finished.id) == finished
    embedded.download_artifact(finished.id, tmp_path / "artifact.onnx")
    assert embedded.wait(running.id, 60).state == "succeeded"
    assert embedded.wait(queued.id, 60).state == "succeeded"
