"""A sandbox whose child misbehaves on request, and what to expect of the machine afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.worker.sandbox.behaviours import Behave
from worker.sandbox.process import Limits, Sandbox

BEHAVE = "tests.worker.sandbox.behaviours:behave"
LIMITS = Limits(wall_seconds=20, operation_seconds=1, memory_bytes=2**30, file_bytes=2**19)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(spares=1, entry_point=BEHAVE) as sandbox:
        yield sandbox


@pytest.fixture
def ask(sandbox: Sandbox, tmp_path: Path) -> Callable[..., str]:
    """Run one behaviour in the sandbox; return what the child says."""
    workdir = tmp_path / "work"
    workdir.mkdir()

    def ask(behaviour: str, limits: Limits = LIMITS, **paths: Path) -> str:
        request = Behave(behaviour=behaviour, workdir=workdir, **paths)
        return sandbox.run(request, limits).text

    return ask
