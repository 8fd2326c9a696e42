import pytest

from worker.engine.memory import CLEAR_REFS


def test_ends_with_a_system_error_beyond_the_file_size(ask):
    assert ask("write big file") == "File too large"


def test_sees_an_environment_of_ours_only(ask, monkeypatch):
    monkeypatch.setenv("ONNXPRESS_DATABASE_URL", "postgresql://user:password@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    names = ask("tell environment").split()

    assert "ORT_DISABLE_TELEMETRY" in names
    assert not [name for name in names if name.startswith(("ONNXPRESS", "AWS"))]


def test_runs_repeatably_and_without_the_user_s_own_packages(ask):
    safe_path, no_user_site, first = ask("tell flags").split()
    *_, second = ask("tell flags").split()

    assert (safe_path, no_user_site) == ("True", "1")
    assert first == second


@pytest.mark.skipif(not CLEAR_REFS.exists(), reason="needs Linux")
def test_may_watch_its_own_memory(ask):
    assert 2**24 < int(ask("watch memory")) < 2**36
