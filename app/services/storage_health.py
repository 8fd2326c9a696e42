"""Whether the storage takes files, for probes that ask all the time."""

import time
from concurrent.futures import Future, wait
from threading import Lock, Thread

import structlog

from app.errors import StorageError
from app.storage import Storage

OK = "ok"
REFUSES = "does not take files"
SILENT = "does not answer"

log = structlog.stdlib.get_logger(__name__)


class StorageHealth:
    """Tries the storage now and then, in a thread, and tells how the last try went.

    Probes come from several balancers, every second or so each, and give up within one. However
    many ask, one try is made at a time and none soon after another; whoever asks waits for it a
    moment only, as a silent S3 takes a minute to fail and would use up the threads of the API.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        every_seconds: float = 10,
        answer_seconds: float = 0.8,
        patience_seconds: float = 10,
    ) -> None:
        self._storage = storage
        self._every_seconds = every_seconds
        self._answer_seconds = answer_seconds
        self._patience_seconds = patience_seconds
        self._lock = Lock()
        self._last = SILENT
        self._try: Future[str] | None = None
        self._tried_at = 0.0

    def look(self) -> str:
        """Return `ok` or what is wrong; while a try takes long, what the one before it found."""
        running = self._running()
        wait([running], self._answer_seconds)
        if running.done():
            return running.result()
        is_silent = time.monotonic() - self._tried_at > self._patience_seconds
        return SILENT if is_silent else self._last

    def _running(self) -> Future[str]:
        """Return the latest try, which is a new one where that ended long enough ago."""
        with self._lock:
            now = time.monotonic()
            is_due = now - self._tried_at >= self._every_seconds
            if self._try is None or (self._try.done() and is_due):
                if self._try is not None:
                    self._last = self._try.result()
                self._try, self._tried_at = Future(), now
                Thread(target=self._attempt, args=(self._try,), daemon=True).start()
            return self._try

    def _attempt(self, outcome: Future[str]) -> None:
        found = REFUSES
        try:
            self._storage.check()
            found = OK
        except StorageError:
            log.exception("readiness.storage")
        finally:
            outcome.set_result(found)
