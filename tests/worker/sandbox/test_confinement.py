import os
from pathlib import Path

import pytest

from worker.sandbox.confinement import landlock_abi

needs_landlock = pytest.mark.skipif(landlock_abi() < 1, reason="the kernel has no Landlock")


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "secret"
    path.write_text("the other customer's model")
    return path


@needs_landlock
def test_denies_reading_files_outside(ask, outside):
    assert ask("read", other=outside) == "denied"


@needs_landlock
def test_denies_reading_the_password_file(ask):
    assert ask("read", other=Path("/etc/passwd")) == "denied"


@needs_landlock
def test_denies_reading_the_parent_s_environment(ask):
    assert ask("read", other=Path(f"/proc/{os.getpid()}/environ")) == "denied"


def test_allows_reading_an_input(ask, outside):
    assert ask("read", input_path=outside) == "the other customer's model"


@needs_landlock
def test_denies_writing_an_input(ask, outside):
    assert ask("write", input_path=outside, other=outside) == "denied"


@needs_landlock
def test_denies_writing_beside_the_private_folder(ask, tmp_path):
    assert ask("write", other=tmp_path / "new") == "denied"


@needs_landlock
def test_denies_every_socket(ask):
    assert ask("connect") == "AF_INET AF_INET6 AF_UNIX"


@needs_landlock
def test_denies_starting_programs(ask):
    assert ask("start program") == "denied"
