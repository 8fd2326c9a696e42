"""The reaper: it repairs what messages and workers lost, and removes what nobody needs any more.

It runs in a thread of every worker process that also runs jobs, and not in Celery's main process:
that one forks, which neither SQLite nor the storage client's threads would survive. Several reapers
at once do no harm.
"""

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

import structlog

from app.db import SessionFactory
from app.folders import remove_folder
from app.queue import Queue
from app.repositories import blobs, datasets, idempotency, jobs, models, reaping, sweeps
from app.settings import Settings
from app.storage import LEFTOVER_AGE, Storage, StoredFile
from app.tables import JobRow, ModelRow
from worker.cache_folders import CacheFolders
from worker.results import problem

HOUSEKEEPING_SECONDS = 600.0
BATCH = 200

logger = structlog.get_logger()


class Reaper:
    """Looks every few seconds for jobs to send, end or remove."""

    def __init__(
        self, settings: Settings, session_factory: SessionFactory, storage: Storage, queue: Queue
    ) -> None:
        self._settings = settings
        self._session_factory = session_factory
        self._storage = storage
        self._queue = queue
        self._cache_folders = CacheFolders(settings, storage)
        self._was_broker_up = True
        self._kept_house_at = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="reaper", daemon=True)

    def start(self) -> None:
        """Reaper from now on, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the pass it is in."""
        self._is_over.set()
        self._thread.join()

    def repair(self) -> None:
        """End the jobs that cannot go on, send those that wait, drop lost attempts' folders."""
        self._end_hopeless_jobs()
        self._send_due_jobs()
        self._remove_stale_work_folders()

    def keep_house(self) -> None:
        """Delete what has expired, and files that no row names."""
        self._delete_expired_jobs()
        self._delete_expired_uploads()
        with self._session_factory.begin() as session:
            lifetime = timedelta(hours=self._settings.idempotency_hours)
            idempotency.delete_older(session, lifetime)
        self._delete_orphaned_blobs()
        self._remove_orphaned_caches()
        self._storage.clean_spool()

    def _work(self) -> None:
        while not self._is_over.wait(self._settings.reaper_seconds):
            try:
                self.repair()
                if time.monotonic() - self._kept_house_at > HOUSEKEEPING_SECONDS:
                    self._kept_house_at = time.monotonic()
                    self.keep_house()
            except Exception:  # what repairs everything else must itself live on
                logger.exception("reaper.failed")

    def _end_hopeless_jobs(self) -> None:
        retention = self._settings.retention
        most = self._settings.max_attempts
        detail = (
            f"the worker was lost in each of {most} attempts; look into the worker's log for the "
            "cause, such as a machine without enough memory, then retry the job"
        )
        with self._session_factory.begin() as session:
            lost = reaping.fail_exhausted(
                session,
                max_attempts=most,
                error=problem("worker_lost", detail),
                retention=retention,
            )
            cancelled = reaping.confirm_lapsed_cancels(session, retention=retention)
        for job_id in lost:
            logger.warning("job.failed", job_id=job_id, code="worker_lost", by="reaper")
        for job_id in cancelled:
            logger.info("job.cancelled", job_id=job_id, by="reaper")

    def _send_due_jobs(self) -> None:
        """Send what is due: all that waits when a broker comes back, maybe without its queue."""
        is_up = self._queue.ping()
        with self._session_factory.begin() as session:
            if is_up and not self._was_broker_up:
                reaping.make_due(session)
            due = reaping.due_for_sending(session)
        self._was_broker_up = is_up
        for job_id in due:
            if not (is_up and self._queue.send_job(job_id)):
                break
            with self._session_factory.begin() as session:
                reaping.mark_sent(session, job_id, resend_seconds=self._settings.resend_seconds)
            logger.info("job.sent", job_id=job_id, by="reaper")

    def _remove_stale_work_folders(self) -> None:
        """Remove this host's folders, named `<job>.<token>`, of attempts that lost their job."""
        for folder in self._storage.spool().glob("job_*.*"):
            job_id, _, token = folder.name.partition(".")
            with self._session_factory() as session:
                job = session.get(JobRow, job_id)
            if job is None or job.token != token:
                remove_folder(folder)

    def _delete_expired_jobs(self) -> None:
        with self._session_factory.begin() as session:
            for job_id in reaping.expired(session):
                if reaping.delete_expired(session, job_id):
                    logger.info("job.deleted", job_id=job_id)
            for sweep_id in sweeps.delete_empty(session):
                logger.info("sweep.deleted", sweep_id=sweep_id)

    def _delete_expired_uploads(self) -> None:
        """Delete expired models and datasets that no waiting or running job needs."""
        with self._session_factory.begin() as session:
            for model in models.expired(session):
                if not jobs.unfinished_users(session, model.id):
                    models.delete(session, model)
                    logger.info("model.deleted", model_id=model.id, by="reaper")
            for dataset in datasets.expired(session):
                if not jobs.unfinished_users(session, dataset.id):
                    datasets.delete(session, dataset)
                    logger.info("dataset.deleted", dataset_id=dataset.id, by="reaper")

    def _delete_orphaned_blobs(self) -> None:
        """Delete blobs without a row, but for young ones, whose row may be on its way."""
        limit = datetime.now(UTC) - LEFTOVER_AGE
        old = (stored for stored in self._storage.list() if stored.modified < limit)
        while batch := list(islice(old, BATCH)):
            self._delete_unnamed(batch)

    def _remove_orphaned_caches(self) -> None:
        """Remove what this host kept of models that were deleted."""
        for model_id in self._cache_folders.models():
            with self._session_factory() as session:
                is_known = session.get(ModelRow, model_id) is not None
            if not is_known:
                self._cache_folders.remove(model_id)
                logger.info("cache.removed", model_id=model_id)

    def _delete_unnamed(self, stored: Iterable[StoredFile]) -> None:
        keys = [it.key for it in stored]
        with self._session_factory() as session:
            named = blobs.named(session, keys)
        for key in keys:
            if key not in named:
                self._delete_if_unnamed(key)

    def _delete_if_unnamed(self, key: str) -> None:
        """Delete a blob unless a row that names it came meanwhile."""
        with self._session_factory.begin() as session:
            blobs.hold(session, [key])
            if not blobs.named(session, [key]):
                self._storage.delete(key)
                logger.info("blob.deleted", key=key)
