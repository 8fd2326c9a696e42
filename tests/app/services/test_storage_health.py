import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import StorageError
from app.services.storage_health import OK, REFUSES, SILENT, StorageHealth
from app.storage import Storage


class Slow(Storage):
    """A storage whose check takes until it is let go."""

    def __init__(self, settings):
        super().__init__(settings)
        self.checks = 0
        self.is_let_go = threading.Event()

    def check(self):
        self.checks += 1
        assert self.is_let_go.wait(30)


class Faulty(Storage):
    """A storage whose first check fails."""

    has_failed = False

    def check(self):
        if not self.has_failed:
            self.has_failed = True
            raise StorageError("no space left")


@pytest.fixture
def slow(settings):
    storage = Slow(settings)
    yield storage
    storage.is_let_go.set()


def test_many_who_ask_make_one_try(slow):
    health = StorageHealth(slow, answer_seconds=30)

    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(health.look) for _ in range(8)]
        slow.is_let_go.set()

    assert [look.result() for look in looks] == [OK] * 8
    assert (health.look(), slow.checks) == (OK, 1)


def test_nobody_waits_for_a_silent_storage(slow):
    health = StorageHealth(slow, answer_seconds=0.01)

    assert [health.look(), health.look()] == [SILENT] * 2
    assert slow.checks == 1


def test_tells_what_it_knows_while_a_try_takes_long_but_not_for_ever(slow):
    health = StorageHealth(slow, every_seconds=0, answer_seconds=0.1, patience_seconds=0.5)
    slow.is_let_go.set()
    assert health.look() == OK
    slow.is_let_go.clear()

    assert health.look() == OK
    while (found := health.look()) == OK:
        pass
    assert found == SILENT


def test_tries_again_after_a_while(settings):
    health = StorageHealth(Faulty(settings), every_seconds=0)

    assert [health.look(), health.look()] == [REFUSES, OK]
