"""Runs one job: claim, fetch, compress in the sandbox, publish, finish.

Every way for an attempt to end is a move of the job's row that holds only while the attempt's
token does; whoever lost the job to another worker, or found it cancelled, changes nothing.
"""

import hashlib
import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db import SessionFactory, database_now
from app.errors import StorageError
from app.queue import Queue
from app.repositories import artifacts, blobs, datasets, jobs, models, reaping
from app.settings import Settings
from app.storage import Storage, blob_key
from app.tables import (
    ArtifactRow,
    DatasetRow,
    JobRow,
    JsonObject,
    ModelRow,
)
from worker.cache_folders import CacheFolders
from worker.engine.errors import EngineError
from worker.heartbeat import Heartbeat
from worker.products import Product, find_products
from worker.results import headline_figures, problem
from worker.sandbox.process import ChildFailedError, Limits, Sandbox, StoppedError

WRITE_ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.1
FAULT_DELAY_SECONDS = 5.0

logger = structlog.get_logger()


class Runner:
    """Runs jobs, one after another, in one worker process."""

    def __init__(
        self,
        settings: Settings,
        session_factory: SessionFactory,
        storage: Storage,
        queue: Queue,
        sandbox: Sandbox,
    ) -> None:
        self._settings = settings
        self._session_factory = session_factory
        self._storage = storage
        self._queue = queue
        self._sandbox = sandbox
        self._cache_folders = CacheFolders(settings, storage)

    def run_job(self, job_id: str) -> None:
        """Run a job to its end, if it is there to be claimed; a second message finds it is not."""
        with self._session_factory.begin() as session:
            job = jobs.claim(
                session,
                job_id,
                lease_seconds=self._settings.lease_seconds,
                max_attempts=self._settings.max_attempts,
            )
        if job is None or job.token is None:
            logger.info("job.not_claimed", job_id=job_id)
            return
        with structlog.contextvars.bound_contextvars(job_id=job_id, attempt=job.attempt):
            logger.info("job.started")
            with Heartbeat(self._session_factory, self._settings, job_id, job.token) as heartbeat:
                self._attempt(job, job.token, heartbeat)
            self._cache_folders.evict()

    def close(self) -> None:
        """End the waiting child processes."""
        self._sandbox.close()

    def _attempt(self, job: JobRow, token: str, heartbeat: Heartbeat) -> None:
        """Do the work and move the job by how that ended."""
        try:
            self._compress(job, token, heartbeat)
        except StoppedError:  # cancelled, or lost to another worker
            self._settle("job.stopped", job, token, lambda _: False)
        except EngineError as error:
            self._fail(job, token, error.code, str(error))
        except ChildFailedError as error:
            self._retry_if_killed(job, token, error)
        except (StorageError, SQLAlchemyError) as error:
            self._retry_later(job, token, error)
        except OSError as error:  # of the spool; its own words name files of ours
            fault = StorageError(f"the worker cannot use its disk: {error.strerror}")
            self._retry_later(job, token, fault)
        except SystemExit:
            self._release(job, token, crashed=False, delay_seconds=0)  # the worker is stopping
            raise
        except Exception:
            logger.exception("job.internal_error")
            message = "an internal error of the service; its log has the details"
            self._fail(job, token, "internal_error", message)

    def _compress(self, job: JobRow, token: str, heartbeat: Heartbeat) -> None:
        """Take a claimed job from its inputs to its published result."""
        started = time.monotonic()
        with self._storage.work_folder(f"{job.id}.{token}") as folder:
            model, request, limits = self._prepare(job, folder)
            answer = self._sandbox.run_json(
                request,
                limits,
                on_progress=heartbeat.report_progress,
                should_stop=heartbeat.should_stop,
            )
            heartbeat.report_progress("publishing", 1.0)
            produced = self._publish(job, model, answer, folder)
        report = answer["report"]
        metrics = headline_figures(report, time.monotonic() - started)
        metrics["alternatives"] = len(answer["alternatives"])

        def finish(session: Session) -> bool:
            keys = [artifact.storage_key for artifact in produced]
            blobs.hold(session, keys)
            self._storage.require(keys)
            retention = self._settings.retention
            is_ours = jobs.finish(
                session,
                job.id,
                token,
                verdict=report["verdict"],
                metrics=metrics,
                retention=retention,
            )
            if is_ours:
                for artifact in produced:
                    artifacts.add(session, artifact)
            return is_ours

        self._settle("job.succeeded", job, token, finish)

    def _prepare(self, job: JobRow, folder: Path) -> tuple[ModelRow, JsonObject, Limits]:
        """Fetch the inputs; return the model's row, the engine's request and its limits."""
        settings = self._settings
        with self._session_factory() as session:
            model = models.find(session, job.workspace, job.model_id)
            calibration = _find_dataset(session, job, job.calibration_dataset_id)
            evaluation = _find_dataset(session, job, job.evaluation_dataset_id)
        if model is None:
            raise EngineError("the model was deleted; upload it again", code="model_deleted")
        for name in ("work", "artifact"):
            (folder / name).mkdir()
        request: JsonObject = {
            "operation": "compress_model",
            "model_path": self._fetch(model, folder / "model.onnx"),
            "spec": job.spec,
            "artifact_folder": str(folder / "artifact"),
            "workdir": str(folder / "work"),
            "cache_folder": self._cache_folders.take(model.id),
            "default_execution_provider": settings.execution_provider,
            "limits": {
                "max_unpacked_bytes": settings.max_unpacked_bytes,
                "max_unpacked_ratio": settings.max_unpacked_ratio,
            },
        }
        for name, row in (("calibration", calibration), ("evaluation", evaluation)):
            if row is not None:
                request[f"{name}_path"] = self._fetch(row, folder / name)
                request[f"{name}_transform"] = row.transform and json.dumps(row.transform)
        provider = job.spec.get("execution_provider") or settings.execution_provider
        limits = Limits(
            wall_seconds=settings.job_time_limit_seconds,
            operation_seconds=settings.operation_time_limit_seconds,
            memory_bytes=settings.memory_limit_bytes(model.info["size_bytes"]),
            file_bytes=settings.max_unpacked_bytes,
            uses_cuda=provider == "cuda",
        )
        return model, request, limits

    def _fetch(self, row: ModelRow | DatasetRow, path: Path) -> str:
        self._storage.fetch(row.storage_key, path)
        return str(path)

    def _publish(
        self, job: JobRow, model: ModelRow, answer: JsonObject, folder: Path
    ) -> list[ArtifactRow]:
        """Store the artifacts and the report; return the rows that will make them public."""
        with self._session_factory() as session:
            now = database_now(session)
        return [
            self._store(job, product, now) for product in find_products(answer, folder, model.name)
        ]

    def _store(self, job: JobRow, product: Product, now: datetime) -> ArtifactRow:
        with product.path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size_bytes = product.path.stat().st_size
        self._storage.put(product.path, blob_key(sha256))
        return ArtifactRow(
            job_id=job.id,
            kind=product.kind,
            file_name=product.file_name,
            sha256=sha256,
            size_bytes=size_bytes,
            storage_key=blob_key(sha256),
            created_at=now,
        )

    def _retry_if_killed(self, job: JobRow, token: str, error: ChildFailedError) -> None:
        """Try a job again whose child was killed from outside, up to a bound."""
        if error.code == "disk_full":
            self._retry_later(job, token, StorageError(str(error)))
        elif error.was_killed and job.crashes + 1 < self._settings.max_crashes:
            self._release(job, token, crashed=True, delay_seconds=0)
        else:
            self._fail(job, token, error.code, str(error))

    def _retry_later(self, job: JobRow, token: str, error: Exception) -> None:
        """Put a job back after a fault of storage or database, unless trying again is no use."""
        is_final = isinstance(error, StorageError) and error.code != StorageError.default_code
        logger.warning("job.fault", reason=str(error))
        if is_final or job.attempt >= self._settings.max_attempts:
            code = error.code if isinstance(error, StorageError) else "database_unavailable"
            self._fail(job, token, code, f"{error}; when that is mended, retry the job")
        else:
            self._release(job, token, crashed=False, delay_seconds=FAULT_DELAY_SECONDS)

    def _fail(self, job: JobRow, token: str, code: str, detail: str) -> None:
        error, retention = problem(code, detail), self._settings.retention
        logger.info("job.failing", code=code, detail=detail)
        self._settle(
            "job.failed",
            job,
            token,
            lambda session: jobs.fail(session, job.id, token, error=error, retention=retention),
        )

    def _release(self, job: JobRow, token: str, *, crashed: bool, delay_seconds: float) -> None:
        """Put the job back in the queue; the reaper sends it where this cannot."""
        is_released = self._settle(
            "job.released",
            job,
            token,
            lambda session: jobs.release(
                session, job.id, token, crashed=crashed, delay_seconds=delay_seconds
            ),
        )
        if is_released and delay_seconds == 0 and self._queue.send_job(job.id):
            with self._session_factory.begin() as session:
                reaping.mark_sent(session, job.id, resend_seconds=self._settings.resend_seconds)

    def _settle(self, event: str, job: JobRow, token: str, move: Callable[[Session], bool]) -> bool:
        """Make the attempt's last move, or confirm the cancellation that forbids it.

        A database that is away is asked again for some seconds; after that the lease lapses and
        another attempt does the work again.
        """
        for attempt in range(WRITE_ATTEMPTS):
            try:
                with self._session_factory.begin() as session:
                    if move(session):
                        logger.info(event)
                        return True
                    retention = self._settings.retention
                    if jobs.confirm_cancel(session, job.id, token, retention=retention):
                        logger.info("job.cancelled")
                    else:
                        logger.warning("job.lost")
            except SQLAlchemyError as error:
                logger.warning("job.not_settled", reason=str(error))
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
            else:
                return False
        return False


def _find_dataset(session: Session, job: JobRow, dataset_id: str | None) -> DatasetRow | None:
    if dataset_id is None:
        return None
    dataset = datasets.find(session, job.workspace, dataset_id)
    if dataset is None:
        raise EngineError("a dataset was deleted; upload it again", code="dataset_deleted")
    return dataset
