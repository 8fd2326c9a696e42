"""Tests of sending jobs, on a real Valkey and on brokers that are down or silent."""

import json
import socket
import time

import pytest
from redis import Redis

from app.errors import UnavailableError
from app.queue import Queue, celery_settings
from app.settings import Settings


@pytest.fixture
def open_queue():
    """Opens queues, and closes them after the test."""
    opened = []

    def open_it(url):
        queue = Queue(Settings(redis_url=url))
        opened.append(queue)
        return queue

    yield open_it
    for queue in opened:
        queue.close()


@pytest.fixture
def silent_server():
    """A server that accepts connections and never answers, as a stopped broker does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def duration(call):
    start = time.monotonic()
    answer = call()
    return answer, time.monotonic() - start


def test_message_names_the_task_and_the_job_under_our_prefix(open_queue, valkey_url):
    queue = open_queue(valkey_url)

    assert queue.ping()
    assert queue.send_job("job_1")

    with Redis.from_url(valkey_url.replace("redis+socket", "unix")) as client:
        message = json.loads(client.lindex("onnxpress:onnxpress", 0))
        keys = client.keys()
    assert message["headers"]["task"] == "onnxpress.run_job"
    assert message["headers"]["argsrepr"] == "('job_1',)"
    assert all(key.startswith(b"onnxpress:") for key in keys)


@pytest.mark.parametrize("url", ["redis+socket:///nowhere/valkey.sock", "redis://127.0.0.1:1/0"])
def test_gives_up_at_once_when_the_broker_is_down(open_queue, url):
    queue = open_queue(url)

    is_sent, seconds = duration(lambda: queue.send_job("job_1"))

    assert not is_sent
    assert not queue.ping()
    assert seconds < 2.5


def test_gives_up_within_two_seconds_when_the_broker_is_silent(open_queue, silent_server):
    queue = open_queue(silent_server)

    is_sent, seconds = duration(lambda: queue.send_job("job_1"))

    assert not is_sent
    assert seconds < 2.5


def test_sends_again_after_the_broker_closed_the_connection(open_queue, valkey_url):
    queue = open_queue(valkey_url)
    queue.send_job("job_1")
    with Redis.from_url(valkey_url.replace("redis+socket", "unix")) as client:
        client.client_kill_filter(_type="normal", skipme=True)

    assert queue.send_job("job_2")


def test_database_number_of_a_socket_is_kept(open_queue, valkey_url):
    queue = open_queue(f"{valkey_url}?virtual_host=3")

    assert queue.send_job("job_1")

    with Redis.from_url(f"{valkey_url.replace('redis+socket', 'unix')}?db=3") as client:
        assert client.exists("onnxpress:onnxpress")


def test_no_broker_says_what_to_set():
    with pytest.raises(UnavailableError, match="ONNXPRESS_REDIS_URL"):
        celery_settings(Settings())


def test_unknown_broker_says_what_to_set():
    with pytest.raises(UnavailableError, match="redis://"):
        celery_settings(Settings(redis_url="amqp://host"))


def test_message_stays_invisible_longer_than_the_longest_job():
    settings = Settings(redis_url="redis://host/1", job_time_limit_seconds=100_000)

    options = celery_settings(settings)

    assert options["broker_transport_options"]["visibility_timeout"] > options["task_time_limit"]
    assert options["task_time_limit"] > options["task_soft_time_limit"] > 100_000


def test_lost_worker_gives_its_message_back():
    options = celery_settings(Settings(redis_url="redis://host/1"))

    assert options["task_acks_late"]
    assert options["task_reject_on_worker_lost"]
    assert options["worker_prefetch_multiplier"] == 1
    assert options["worker_cancel_long_running_tasks_on_connection_loss"] is False


@pytest.mark.parametrize(
    ("url", "timeout"), [("redis://host/1", 30), ("redis+socket:///run/valkey.sock", None)]
)
def test_tcp_connections_do_not_wait_for_ever(url, timeout):
    options = celery_settings(Settings(redis_url=url))

    assert options["broker_transport_options"].get("socket_timeout") == timeout
