"""Tests of a worker's end of the broker: a real worker, and a Valkey that anybody writes into."""

import json

import pytest
from redis import Redis

from app.queue import Queue
from app.settings import Settings
from tests.hostile_messages import HOSTILE_MESSAGES, SOUND
from tests.running_service import Command, wait_for
from worker.transport import read_doorbell

QUEUE = "onnxpress:onnxpress"


@pytest.fixture
def broker(valkey_url):
    with Redis.from_url(valkey_url.replace("redis+socket", "unix")) as client:
        yield client


@pytest.fixture
def queue(valkey_url):
    queue = Queue(Settings(redis_url=valkey_url))
    yield queue
    queue.close()


@pytest.fixture
def worker(valkey_url, database_url, tmp_path):
    """A running `onnxpress worker`."""
    settings = {
        "ONNXPRESS_DATA_DIR": str(tmp_path / "data"),
        "ONNXPRESS_DATABASE_URL": database_url,
        "ONNXPRESS_REDIS_URL": valkey_url,
    }
    worker = Command(["worker"], settings)
    yield worker
    assert worker.stop() == 0


def test_believes_nothing_of_a_message_but_its_ids(queue, broker):
    queue.send_job("job_1")
    sent = json.loads(broker.lindex(QUEUE, 0))
    sent["headers"] |= {"timelimit": [0.1, 0.1], "eta": "2050-01-01", "compression": "gzip"}

    read = read_doorbell(sent)

    assert set(read["headers"]) == {"lang", "task", "id"}
    assert read["headers"]["id"] == sent["headers"]["id"]
    assert read["properties"]["delivery_tag"] == sent["properties"]["delivery_tag"]
    assert read_doorbell(read) == read


def test_refuses_a_message_without_an_id():
    with pytest.raises(ValueError, match=r"delivery_tag"):
        read_doorbell(SOUND | {"properties": {"body_encoding": "base64"}})


def test_a_worker_outlives_whatever_is_written_into_its_queue(worker, queue, broker):
    wait_for(lambda: "ready" in worker.output())

    for message in HOSTILE_MESSAGES.values():
        broker.lpush(QUEUE, message)
    queue.send_job("job_after")

    wait_for(lambda: "job_after" in worker.output())
    wait_for(lambda: broker.hlen("onnxpress:unacked") == 0)
    assert "message.dropped" in worker.output()
    assert "Unrecoverable" not in worker.output()
    assert "Traceback" not in worker.output()


def test_a_worker_outlives_what_is_kept_as_its_work(worker, broker):
    wait_for(lambda: "ready" in worker.output())

    for tag, kept in enumerate([b"garbage", b"[1, 2]", b"{}", b"[{}, {}, {}]", b"\xff"]):
        broker.hset("onnxpress:unacked", str(tag), kept)
        broker.zadd("onnxpress:unacked_index", {str(tag): 1.0})

    wait_for(lambda: broker.hlen("onnxpress:unacked") == 0)
    assert "message.dropped" in worker.output()
    assert "Traceback" not in worker.output()
