import sys
from dataclasses import dataclass
from importlib.metadata import version

import pytest

from app.cli import main
from app.embedded import claimed_data_folder, listen, write_holder

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be refused


@dataclass(frozen=True)
class Result:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def onnxpress(tmp_path, monkeypatch, capsys):
    def run(*arguments: str, **settings: str) -> Result:
        monkeypatch.setenv("ONNXPRESS_DATA_DIR", str(tmp_path))
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["onnxpress", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        output = capsys.readouterr()
        return Result(end.value.code, output.out, output.err)

    return run


def test_prints_its_version(onnxpress):
    assert onnxpress("version").stdout == version("onnxpress") + "\n"


def test_makes_lists_and_revokes_keys(onnxpress):
    key = onnxpress("keys", "create", "--name", "ci", "--workspace", "team", "--read-only").stdout
    key_id = key.removeprefix("onnxpress_").partition(".")[0]

    revoked = onnxpress("keys", "revoke", key_id)
    listed = onnxpress("keys", "list", COLUMNS="200").stdout

    assert revoked.status == 0
    assert [key_id, "ci", "team", "read"] == listed.splitlines()[3].replace("│", " ").split()[:4]
    assert key.partition(".")[2].strip() not in listed


def test_revoking_an_unknown_key_says_how_to_find_one(onnxpress):
    result = onnxpress("keys", "revoke", "unknown")

    assert result.status == 1
    assert result.stderr.startswith("onnxpress: no key 'unknown'; `onnxpress keys list`")
    assert len(result.stderr.splitlines()) == 1


def test_migrates_the_database_twice(onnxpress, tmp_path):
    assert [onnxpress("migrate").status, onnxpress("migrate").status] == [0, 0]
    assert (tmp_path / "onnxpress.db").exists()


def test_names_the_variable_of_a_wrong_setting(onnxpress):
    result = onnxpress("migrate", ONNXPRESS_AUTH="maybe")

    assert result.status == 2
    assert result.stderr == "onnxpress: ONNXPRESS_AUTH: Input should be 'keys' or 'none'\n"


def test_an_unreachable_database_is_one_line(onnxpress):
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    result = onnxpress("migrate", ONNXPRESS_DATABASE_URL=url)

    assert result.status == 1
    assert result.stderr.startswith("onnxpress: the database cannot be used: connection failed")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["up", "api"])
def test_refuses_a_public_address_without_keys(onnxpress, command):
    result = onnxpress(command, "--host", EVERYWHERE, "--port", "0")

    assert result.status == 1
    assert "set ONNXPRESS_AUTH=keys, and make a key with" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_refuses_a_public_service_that_nobody_has_a_key_for(onnxpress):
    result = onnxpress("up", "--host", EVERYWHERE, "--port", "0", ONNXPRESS_AUTH="keys")

    assert result.status == 1
    assert "there is no API key yet" in result.stderr


def test_a_worker_needs_a_broker(onnxpress):
    result = onnxpress("worker")

    assert result.status == 1
    assert "set ONNXPRESS_REDIS_URL" in result.stderr


def test_a_second_service_on_the_same_folder_names_the_first(onnxpress, tmp_path):
    with claimed_data_folder(tmp_path) as lock:
        write_holder(lock, "http://127.0.0.1:8000")
        result = onnxpress("up", "--port", "0")

    assert result.status == 1
    assert f"another onnxpress uses the data folder {tmp_path}" in result.stderr
    assert "at http://127.0.0.1:8000" in result.stderr


def test_a_port_in_use_is_one_line(onnxpress):
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        result = onnxpress("up", "--port", str(port))

    assert result.status == 1
    assert result.stderr == (
        f"onnxpress: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "change --port or --host\n"
    )
