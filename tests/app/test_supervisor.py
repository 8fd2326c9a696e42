"""Further tests of the supervisor, kills among them, are in `tests/flow`."""

from tests.running_service import Up, command_line, descendants, is_ready, wait_for


def test_sets_an_unreadable_queue_aside_and_leaves_no_process(tmp_path):
    queue = tmp_path / "broker" / "appendonlydir"
    queue.mkdir(parents=True)
    (queue / "appendonly.aof.manifest").write_text("damaged")

    up = Up(tmp_path)
    processes = descendants(up.pid)

    assert is_ready(up.url)
    assert len(list((tmp_path / "broker").glob("unreadable-*"))) == 1
    assert up.stop() == 0
    wait_for(lambda: not any(command_line(pid) for pid in processes), 5)


def test_starts_no_broker_where_one_is_given(tmp_path, valkey_url):
    up = Up(tmp_path, {"ONNXPRESS_REDIS_URL": valkey_url})

    assert is_ready(up.url)
    assert not any("valkey" in command_line(pid) for pid in descendants(up.pid))
    assert up.stop() == 0
