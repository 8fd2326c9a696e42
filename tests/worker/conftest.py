"""A runner and a reaper on a real database and storage; only the queue keeps its messages."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from app.db import SessionFactory, database_now, new_id
from app.repositories import jobs
from app.settings import Settings
from app.storage import Storage, blob_key
from app.tables import DatasetRow, JobRow, ModelRow
from tests.worker.compressing import ENTRY_POINT
from worker.reaper import Reaper
from worker.runner import Runner
from worker.sandbox.process import Sandbox

MODEL = b"0123456789"


class KeptQueue:
    """A queue that keeps its messages; with `is_up` false, a broker that does not answer."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.is_up = True

    def send_job(self, job_id: str) -> bool:
        if self.is_up:
            self.sent.append(job_id)
        return self.is_up

    def ping(self) -> bool:
        return self.is_up


@pytest.fixture
def settings(tmp_path, database_url) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        redis_url="redis://nobody.invalid",
        heartbeat_seconds=0.05,
        max_crashes=2,
        max_attempts=3,
    )


@pytest.fixture
def queue() -> KeptQueue:
    return KeptQueue()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(spares=1, entry_point=ENTRY_POINT) as sandbox:
        yield sandbox


@pytest.fixture
def runner(settings, session_factory, storage, queue, sandbox) -> Runner:
    return Runner(settings, session_factory, storage, queue, sandbox)


@pytest.fixture
def reaper(settings, session_factory, storage, queue) -> Reaper:
    return Reaper(settings, session_factory, storage, queue)


class Service:
    """What a test does to the rows, in place of the API."""

    def __init__(self, session_factory: SessionFactory, storage: Storage) -> None:
        self._session_factory = session_factory
        self._storage = storage
        self._model_id = ""

    def store(self, content: bytes) -> str:
        """Put a blob into the storage and return its digest."""
        path = self._storage.spool() / new_id("upload")
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        self._storage.put(path, blob_key(sha256))
        return sha256

    def add_model(self, content: bytes = MODEL) -> str:
        return self._add_upload(ModelRow, "model", content, {"size_bytes": len(content)})

    def add_dataset(self, content: bytes) -> str:
        return self._add_upload(DatasetRow, "dataset", content, {})

    def submit(self, behaviour: str, model_id: str | None = None, **options: Any) -> str:
        """Add a queued job whose child behaves so; options that name a dataset are the job's."""
        named = {name: options.pop(name) for name in list(options) if name.endswith("dataset_id")}
        self._model_id = model_id = model_id or self._model_id or self.add_model()
        new_job = jobs.NewJob("default", model_id, {"behaviour": behaviour} | options, **named)
        with self._session_factory.begin() as session:
            return jobs.add(session, new_job, resend_seconds=30).id

    def job(self, job_id: str) -> JobRow:
        with self._session_factory() as session:
            return jobs.get(session, "default", job_id)

    def cancel(self, job_id: str) -> None:
        with self._session_factory.begin() as session:
            jobs.cancel(session, "default", job_id, retention=None)

    def claim(self, job_id: str, lease_seconds: float) -> None:
        """Claim a job as a worker that is not heard of again."""
        with self._session_factory.begin() as session:
            jobs.claim(session, job_id, lease_seconds=lease_seconds, max_attempts=100)

    def set(self, row: type[JobRow | ModelRow], row_id: str, **values: Any) -> None:
        with self._session_factory.begin() as session:
            session.execute(update(row).where(row.id == row_id).values(**values))

    def now(self) -> Any:
        with self._session_factory() as session:
            return database_now(session)

    def _add_upload(self, kind: type, prefix: str, content: bytes, info: dict[str, Any]) -> str:
        sha256 = self.store(content)
        with self._session_factory.begin() as session:
            row = kind(
                id=new_id(prefix),
                workspace="default",
                name="tiny.onnx",
                sha256=sha256,
                size_bytes=len(content),
                storage_key=blob_key(sha256),
                info=info,
                created_at=database_now(session),
            )
            session.add(row)
        return str(row.id)


@pytest.fixture
def service(session_factory, storage) -> Service:
    return Service(session_factory, storage)
