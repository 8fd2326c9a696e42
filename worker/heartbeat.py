"""The heartbeat of a running attempt: it holds the lease, tells progress and hears of its end."""

import threading
import time
from types import TracebackType
from typing import Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db import SessionFactory
from app.repositories import jobs
from app.settings import Settings

StopReason = Literal["cancelled", "lost"]

logger = structlog.get_logger()


class Heartbeat:
    """Extends an attempt's lease from its own thread, for as long as the `with` block runs.

    `stop_reason` says why the attempt should stop: the job is being cancelled, or the lease is
    lost, be it to another worker or because the database has not answered for its whole length.
    """

    def __init__(
        self, session_factory: SessionFactory, settings: Settings, job_id: str, token: str
    ) -> None:
        self._session_factory = session_factory
        self._settings = settings
        self._job_id = job_id
        self._token = token
        self._progress: tuple[str | None, float] = ("starting", 0.0)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.stop_reason: StopReason | None = None

    def report_progress(self, stage: str, progress: float) -> None:
        """Take the stage and progress that the next beat writes."""
        if stage != self._progress[0]:
            logger.info("job.stage", job_id=self._job_id, stage=stage)
        self._progress = (stage, progress)

    def should_stop(self) -> bool:
        """Return whether the attempt should stop."""
        return self.stop_reason is not None

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _beat(self) -> None:
        held_until = time.monotonic() + self._settings.lease_seconds
        while self.stop_reason is None:
            started = time.monotonic()
            try:
                self.stop_reason = self._extend()
                held_until = started + self._settings.lease_seconds
            except SQLAlchemyError as error:
                logger.warning("job.heartbeat_failed", job_id=self._job_id, reason=str(error))
                if time.monotonic() > held_until:
                    self.stop_reason = "lost"
            if self._is_over.wait(self._settings.heartbeat_seconds):
                return

    def _extend(self) -> StopReason | None:
        stage, progress = self._progress
        with self._session_factory.begin() as session:
            state = jobs.heartbeat(
                session,
                self._job_id,
                self._token,
                stage=stage,
                progress=progress,
                lease_seconds=self._settings.lease_seconds,
            )
        if state is None:
            return "lost"
        return "cancelled" if state == "cancelling" else None
