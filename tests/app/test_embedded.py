import pytest

from app.db import create_session_factory
from app.embedded import (
    SetupError,
    browsable_url,
    claimed_data_folder,
    is_loopback,
    listen,
    require_a_key,
    require_keys_where_public,
    write_holder,
)
from app.migrations import migrate
from app.services import keys
from app.settings import Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be refused


def test_a_data_folder_has_one_service_and_says_which(tmp_path):
    with claimed_data_folder(tmp_path) as lock:
        write_holder(lock, "http://127.0.0.1:8000")

        with (
            pytest.raises(SetupError, match=r"process \d+ at http://127.0.0.1:8000"),
            claimed_data_folder(tmp_path),
        ):
            pass


def test_a_data_folder_can_be_claimed_again(tmp_path):
    with claimed_data_folder(tmp_path) as lock:
        write_holder(lock, "http://127.0.0.1:8000")

    with claimed_data_folder(tmp_path) as lock:
        assert lock.read() == ""


def test_a_new_data_folder_is_private(tmp_path):
    with claimed_data_folder(tmp_path / "new" / "folder"):
        assert (tmp_path / "new" / "folder").stat().st_mode & 0o777 == 0o700


def test_a_file_is_no_data_folder(tmp_path):
    (tmp_path / "file").touch()

    with (
        pytest.raises(SetupError, match="cannot use the data folder"),
        claimed_data_folder(tmp_path / "file"),
    ):
        pass


def test_says_that_a_port_is_in_use():
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]

        with pytest.raises(SetupError, match=f"port {port}: Address already in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), (EVERYWHERE, False), ("::", False)],
)
def test_knows_which_addresses_only_this_machine_reaches(host, expected):
    assert is_loopback(host) is expected


def test_an_unknown_host_is_an_error():
    with pytest.raises(SetupError, match="has no address"):
        is_loopback("no host")


def test_a_public_address_needs_keys():
    with pytest.raises(SetupError, match="ONNXPRESS_AUTH=keys"):
        require_keys_where_public(EVERYWHERE, Settings(auth="none"))


@pytest.mark.parametrize(("host", "auth"), [("127.0.0.1", "none"), (EVERYWHERE, "keys")])
def test_serves_the_loopback_without_keys_and_the_public_with_them(host, auth):
    require_keys_where_public(host, Settings(auth=auth))


def test_a_public_service_needs_somebody_who_has_a_key(tmp_path):
    settings = Settings(data_dir=tmp_path, auth="keys")
    migrate(settings.resolved_database_url)
    with pytest.raises(SetupError, match="onnxpress keys create --name NAME"):
        require_a_key(EVERYWHERE, settings)

    keys.create(create_session_factory(settings.resolved_database_url), "ci")

    require_a_key(EVERYWHERE, settings)


@pytest.mark.parametrize(
    ("host", "expected"), [(EVERYWHERE, "http://127.0.0.1:"), ("::1", "http://[::1]:")]
)
def test_names_a_url_that_a_browser_takes(host, expected):
    with listen(host, 0) as listener:
        assert browsable_url(listener) == f"{expected}{listener.getsockname()[1]}"
