import os
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import pytest
from sqlalchemy import event, select

from app.repositories import artifacts, models, sweeps
from app.repositories.sweeps import NewSweep
from app.storage import blob_key
from app.tables import ArtifactRow, DatasetRow, JobRow, ModelRow, SweepRow
from tests.conftest import both_databases
from tests.running_service import wait_for
from tests.worker.conftest import KeptQueue
from worker.cache_folders import CacheFolders
from worker.reaper import Reaper


@pytest.fixture
def long_ago(service):
    return service.now() - timedelta(hours=5)


def age(storage, sha256, hours):
    path = storage.spool().parent / blob_key(sha256)
    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))


def test_sends_a_queued_job_whose_message_was_lost(reaper, service, queue, long_ago):
    job_id = service.submit("succeed")
    service.set(JobRow, job_id, next_send_at=long_ago)

    reaper.repair()

    assert queue.sent == [job_id]
    assert service.job(job_id).next_send_at > service.now()


def test_waits_twice_as_long_after_each_message(reaper, service, settings):
    job_id = service.submit("succeed")
    waits = []

    for _ in range(3):
        service.set(JobRow, job_id, next_send_at=service.now())
        reaper.repair()
        wait = service.job(job_id).next_send_at - service.now()
        waits.append(round(wait.total_seconds() / settings.resend_seconds))

    assert waits == [2, 4, 8]


def test_leaves_a_fresh_message_alone(reaper, service, queue):
    service.submit("succeed")

    reaper.repair()

    assert queue.sent == []


def test_keeps_what_is_due_until_the_broker_answers(reaper, service, queue, long_ago):
    job_id = service.submit("succeed")
    service.set(JobRow, job_id, next_send_at=long_ago)
    queue.is_up = False
    reaper.repair()
    queue.is_up = True

    reaper.repair()

    assert queue.sent == [job_id]


def test_sends_everything_at_once_when_the_broker_comes_back(reaper, service, queue):
    job_id = service.submit("succeed")
    queue.is_up = False
    reaper.repair()
    queue.is_up = True

    reaper.repair()

    assert queue.sent == [job_id]


def test_sends_a_running_job_whose_worker_is_lost(reaper, service, queue):
    job_id = service.submit("succeed")
    service.claim(job_id, lease_seconds=-1)

    reaper.repair()

    assert queue.sent == [job_id]


def test_leaves_a_running_job_with_a_lease_alone(reaper, service, queue):
    job_id = service.submit("succeed")
    service.claim(job_id, lease_seconds=60)

    reaper.repair()

    assert queue.sent == []


def test_fails_a_job_that_has_lost_all_its_workers(reaper, service, queue, settings):
    job_id = service.submit("succeed")
    for _ in range(settings.max_attempts):
        service.claim(job_id, lease_seconds=-1)

    reaper.repair()

    job = service.job(job_id)
    assert (job.state, job.error["code"], queue.sent) == ("failed", "worker_lost", [])


def test_cancels_a_cancelling_job_whose_worker_is_lost(reaper, service):
    job_id = service.submit("succeed")
    service.claim(job_id, lease_seconds=-1)
    service.cancel(job_id)

    reaper.repair()

    assert service.job(job_id).state == "cancelled"


def test_removes_the_work_folders_of_lost_attempts_only(reaper, service, storage):
    lost, running = service.submit("succeed"), service.submit("succeed")
    service.claim(running, lease_seconds=60)
    kept = f"{running}.{service.job(running).token}"
    for name in (kept, f"{lost}.token", "job_unknown.token"):
        (storage.spool() / name).mkdir()

    reaper.repair()

    assert [it.name for it in storage.spool().iterdir()] == [kept]


def test_deletes_expired_jobs_and_then_their_blobs(
    reaper, runner, service, storage, session_factory, long_ago
):
    job_id = service.submit("succeed")
    runner.run_job(job_id)
    service.set(JobRow, job_id, expires_at=long_ago)
    for stored in list(storage.list()):
        age(storage, "".join(stored.key.rsplit("/", 2)[-2:]), hours=4)

    reaper.keep_house()

    with session_factory() as session:
        assert session.get(JobRow, job_id) is None
    assert len(list(storage.list())) == 1  # the model


def test_deletes_a_sweep_with_the_last_of_its_jobs(
    reaper, runner, service, session_factory, long_ago
):
    with session_factory.begin() as session:
        sweep = sweeps.add(session, NewSweep("default", "model", None, None, {}, None, [{}, {}]))
    first, second = (service.submit("succeed") for _ in range(2))
    for job_id in (first, second):
        runner.run_job(job_id)
        service.set(JobRow, job_id, sweep_id=sweep.id)

    service.set(JobRow, first, expires_at=long_ago)
    reaper.keep_house()
    with session_factory() as session:
        assert session.get(SweepRow, sweep.id) is not None

    service.set(JobRow, second, expires_at=long_ago)
    reaper.keep_house()
    with session_factory() as session:
        assert session.get(SweepRow, sweep.id) is None


def test_deletes_expired_uploads_that_no_job_needs(reaper, service, session_factory, long_ago):
    idle, needed = service.add_model(b"idle"), service.add_model(b"needed")
    dataset = service.add_dataset(b"dataset")
    service.submit("succeed", needed)
    for kind, row_id in ((ModelRow, idle), (ModelRow, needed), (DatasetRow, dataset)):
        service.set(kind, row_id, expires_at=long_ago)

    reaper.keep_house()

    with session_factory() as session:
        assert session.get(ModelRow, idle) is None
        assert session.get(ModelRow, needed) is not None
        assert session.get(DatasetRow, dataset) is None


@both_databases
@pytest.mark.parametrize("is_renewed", [True, False])
def test_keeps_house_while_others_renew_or_delete_what_has_expired(
    reaper, service, session_factory, long_ago, is_renewed
):
    model_id = service.add_model()
    service.set(ModelRow, model_id, expires_at=long_ago)

    with ThreadPoolExecutor(1) as pool:
        with session_factory.begin() as session:
            model = models.get_locked(session, "default", model_id)
            if is_renewed:
                model.expires_at = None
            else:
                models.delete(session, model)
            session.flush()
            kept = pool.submit(reaper.keep_house)
            wait([kept], timeout=0.5)
        kept.result()

    with session_factory() as session:
        assert (session.get(ModelRow, model_id) is not None) == is_renewed


def test_deletes_old_blobs_that_no_row_names(reaper, service, storage):
    orphan, young, named = service.store(b"orphan"), service.store(b"young"), b"named"
    service.add_model(named)
    age(storage, orphan, hours=4)
    age(storage, service.store(named), hours=4)

    reaper.keep_house()

    keys = {stored.key for stored in storage.list()}
    assert blob_key(orphan) not in keys
    assert blob_key(young) in keys
    assert len(keys) == 2


@both_databases
def test_keeps_a_blob_that_a_job_is_about_to_name(
    reaper, runner, service, storage, session_factory
):
    job_id = service.submit("succeed")
    begun = []

    def keep_house_before_the_commit(session):
        if not begun and session.scalars(select(ArtifactRow.kind)).all():
            for stored in storage.list():  # as if listed before they were stored again
                age(storage, "".join(stored.key.rsplit("/", 2)[-2:]), hours=4)
            begun.append(pool.submit(reaper.keep_house))
            wait(begun, timeout=0.5)

    with ThreadPoolExecutor(1) as pool:
        event.listen(session_factory, "before_commit", keep_house_before_the_commit)
        runner.run_job(job_id)
        begun[0].result()

    with session_factory() as session:
        artifact = artifacts.get(session, job_id, "model")
    assert storage.exists(artifact.storage_key)


def test_cleans_the_spool_of_old_files(reaper, storage, settings):
    old, young = storage.spool() / "upload-old", storage.spool() / "upload-young"
    old.touch()
    young.touch()
    then = old.stat().st_mtime - 3 * 3600 - settings.job_time_limit_seconds - 60
    os.utime(old, (then, then))

    reaper.keep_house()

    assert list(storage.spool().iterdir()) == [young]


def test_its_thread_outlives_a_fault(settings, session_factory, storage, service, long_ago):
    class FaultyOnce(KeptQueue):
        has_failed = False

        def ping(self):
            if not self.has_failed:
                self.has_failed = True
                raise OSError("broken pipe")
            return True

    queue = FaultyOnce()
    job_id = service.submit("succeed")
    service.set(JobRow, job_id, next_send_at=long_ago)
    often = settings.model_copy(update={"reaper_seconds": 0.02})
    reaper = Reaper(often, session_factory, storage, queue)

    reaper.start()
    wait_for(lambda: queue.sent == [job_id], seconds=10)
    reaper.stop()


def test_removes_what_was_kept_of_deleted_models(reaper, service, settings, storage):
    cache = CacheFolders(settings, storage)
    model_id = service.add_model()
    cache.take(model_id)
    cache.take("model_deleted")

    reaper.keep_house()

    assert cache.models() == [model_id]
