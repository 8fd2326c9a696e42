import hashlib
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from app.repositories import artifacts, reaping
from app.tables import JobRow, ModelRow
from tests.running_service import wait_for
from tests.worker.conftest import MODEL
from worker.runner import Runner

ANOTHER_WORKER = "another worker's"


@pytest.fixture
def in_background(runner):
    """Run a job in a thread for as long as the block runs, and then to its end."""

    @contextmanager
    def in_background(job_id):
        thread = threading.Thread(target=runner.run_job, args=(job_id,))
        thread.start()
        yield
        thread.join()

    return in_background


def left_in_spool(storage):
    return [it.name for it in storage.spool().iterdir()]


def test_publishes_the_artifact_and_the_report(runner, service, storage, session_factory):
    job_id = service.submit("succeed")

    runner.run_job(job_id)

    job = service.job(job_id)
    assert (job.state, job.progress, job.error) == ("succeeded", 1.0, None)
    assert job.verdict == {"passed": True, "summary": "fine", "gates": [], "warnings": []}
    with session_factory() as session:
        model = artifacts.get(session, job_id, "model")
        report = artifacts.get(session, job_id, "report")
    assert b"".join(storage.read(model.storage_key)) == MODEL[:5]
    assert model.sha256 == hashlib.sha256(MODEL[:5]).hexdigest()
    assert (model.file_name, model.size_bytes) == ("tiny-compressed.onnx", 5)
    assert json.loads(b"".join(storage.read(report.storage_key)))["before"] == {"size_bytes": 10}
    assert report.file_name == "tiny-report.json"


def test_publishes_the_alternatives_of_a_search(runner, service, storage, session_factory):
    job_id = service.submit("search")

    runner.run_job(job_id)

    assert service.job(job_id).metrics["alternatives"] == 1
    with session_factory() as session:
        alternative = artifacts.get(session, job_id, "alternative_1")
        assert artifacts.find(session, job_id, "alternative_2") is None
    assert b"".join(storage.read(alternative.storage_key)) == MODEL[:7]
    assert alternative.file_name == "tiny-alternative-1.onnx"


def test_keeps_the_headline_figures(runner, service):
    job_id = service.submit("succeed")

    runner.run_job(job_id)

    metrics = service.job(job_id).metrics
    assert (metrics["size_ratio"], metrics["compression_ratio"]) == (0.5, 2.0)
    assert (metrics["min_sqnr_db"], metrics["data"]) == (30.0, "dataset")
    assert metrics["duration_seconds"] > 0


def test_gives_the_engine_its_datasets(runner, service, storage, session_factory):
    calibration, evaluation = service.add_dataset(b"first"), service.add_dataset(b"second")
    job_id = service.submit(
        "succeed", calibration_dataset_id=calibration, evaluation_dataset_id=evaluation
    )

    runner.run_job(job_id)

    with session_factory() as session:
        report = artifacts.get(session, job_id, "report")
    inputs = json.loads(b"".join(storage.read(report.storage_key)))["inputs"]
    assert inputs == ["first", "second"]


def remembered(service, storage, session_factory, job_id):
    with session_factory() as session:
        report = artifacts.get(session, job_id, "report")
    return json.loads(b"".join(storage.read(report.storage_key)))["remembered"]


def test_jobs_over_one_model_share_a_cache(runner, service, storage, session_factory):
    jobs = [service.submit("remember") for _ in range(2)]
    jobs.append(service.submit("remember", service.add_model(b"another")))

    for job_id in jobs:
        runner.run_job(job_id)

    counts = [remembered(service, storage, session_factory, job_id) for job_id in jobs]
    assert counts == [1, 2, 1]


def test_keeps_no_more_than_the_cache_may_hold(
    settings, session_factory, storage, queue, sandbox, service
):
    small = settings.model_copy(update={"cache_max_bytes": 1})
    job_id = service.submit("remember")

    Runner(small, session_factory, storage, queue, sandbox).run_job(job_id)

    assert remembered(service, storage, session_factory, job_id) == 1
    assert list((storage.spool().parent / "cache").iterdir()) == []


@pytest.mark.parametrize("behaviour", ["succeed", "refuse", "abort", "misname"])
def test_leaves_no_file_behind(runner, service, storage, behaviour):
    runner.run_job(service.submit(behaviour))

    assert left_in_spool(storage) == []


@pytest.mark.parametrize(
    ("behaviour", "code", "status"),
    [
        ("refuse", "nothing_to_compress", 422),
        ("abort", "crashed", 500),
        ("misname", "internal_error", 500),
        ("link", "internal_error", 500),
    ],
)
def test_fails_with_problem_details(runner, service, behaviour, code, status):
    job_id = service.submit(behaviour)

    runner.run_job(job_id)

    job = service.job(job_id)
    assert (job.state, job.error["code"], job.error["status"]) == ("failed", code, status)
    assert job.error["type"] == f"urn:onnxpress:problem:{code}"


def test_ends_a_job_at_the_time_limit(settings, session_factory, storage, queue, sandbox, service):
    hasty = settings.model_copy(update={"job_time_limit_seconds": 2})
    job_id = service.submit("sleep", seconds=60)

    Runner(hasty, session_factory, storage, queue, sandbox).run_job(job_id)

    assert service.job(job_id).error["code"] == "time_limit"


def test_a_second_message_does_nothing(runner, service):
    job_id = service.submit("succeed")
    runner.run_job(job_id)
    finished_at = service.job(job_id).finished_at

    runner.run_job(job_id)

    assert service.job(job_id).finished_at == finished_at
    assert service.job(job_id).attempt == 1


def test_tries_again_when_the_child_is_killed_up_to_a_bound(runner, service, queue):
    job_id = service.submit("die")

    runner.run_job(job_id)
    assert (service.job(job_id).state, queue.sent) == ("queued", [job_id])
    runner.run_job(job_id)

    job = service.job(job_id)
    assert (job.state, job.error["code"], job.attempt) == ("failed", "crashed", 2)


def test_writes_stage_and_progress_while_running(service, in_background):
    job_id = service.submit("sleep", seconds=1)

    with in_background(job_id):
        wait_for(lambda: service.job(job_id).stage == "compressing")
        progress = service.job(job_id).progress

    assert progress == 0.25


def test_cancels_a_running_job(service, in_background, storage):
    job_id = service.submit("sleep", seconds=60)

    with in_background(job_id):
        wait_for(lambda: service.job(job_id).stage == "compressing")
        service.cancel(job_id)

    assert service.job(job_id).state == "cancelled"
    assert left_in_spool(storage) == []


def test_leaves_a_job_alone_that_it_has_lost(service, in_background):
    job_id = service.submit("sleep", seconds=60)

    with in_background(job_id):
        wait_for(lambda: service.job(job_id).stage == "compressing")
        service.set(JobRow, job_id, token=ANOTHER_WORKER)

    job = service.job(job_id)
    assert (job.state, job.token) == ("running", ANOTHER_WORKER)


def test_fails_at_once_when_an_input_is_gone_from_the_storage(runner, service, storage):
    job_id = service.submit("succeed")
    for stored in storage.list():
        storage.delete(stored.key)

    runner.run_job(job_id)

    assert service.job(job_id).error["code"] == "storage_missing"


def test_fails_when_the_model_was_deleted(runner, service, session_factory):
    job_id = service.submit("succeed")
    with session_factory.begin() as session:
        session.delete(session.get(ModelRow, service.job(job_id).model_id))

    runner.run_job(job_id)

    assert service.job(job_id).error["code"] == "model_deleted"


def states_of_three_attempts(runner, service, job_id):
    states = []
    for _ in range(3):
        runner.run_job(job_id)
        states.append(service.job(job_id).state)
    return states


def test_tries_later_while_the_storage_is_down_and_then_fails(runner, service, storage, tmp_path):
    job_id = service.submit("succeed")
    (tmp_path / "data" / "storage" / "blobs").rename(tmp_path / "away")
    (tmp_path / "data" / "storage" / "blobs").write_text("not a folder")

    assert states_of_three_attempts(runner, service, job_id) == ["queued", "queued", "failed"]
    assert service.job(job_id).error["code"] == "storage_unavailable"


def test_tries_again_when_a_result_is_deleted_before_a_row_names_it(
    runner, service, storage, monkeypatch
):
    def put(path, key):
        storage_put(path, key)
        storage.delete(key)

    job_id = service.submit("succeed")
    storage_put = storage.put
    with monkeypatch.context() as patch:
        patch.setattr(storage, "put", put)
        runner.run_job(job_id)
    assert service.job(job_id).state == "queued"

    runner.run_job(job_id)

    assert service.job(job_id).state == "succeeded"


def test_tries_later_while_the_child_finds_the_disk_full_and_then_fails(runner, service, queue):
    job_id = service.submit("fill the disk")

    assert states_of_three_attempts(runner, service, job_id) == ["queued", "queued", "failed"]
    assert service.job(job_id).error["code"] == "storage_unavailable"
    assert queue.sent == []


def test_tries_later_while_the_spool_cannot_be_written(runner, service, monkeypatch):
    def write_text(*_arguments):
        raise OSError(28, "No space left on device", "/where/it/is")

    job_id = service.submit("succeed")
    monkeypatch.setattr(Path, "write_text", write_text)

    for _ in range(3):
        runner.run_job(job_id)

    error = service.job(job_id).error
    assert error["code"] == "storage_unavailable"
    assert error["detail"].startswith("the worker cannot use its disk: No space left on device")


def test_hands_the_job_back_when_the_worker_stops(
    settings, session_factory, storage, queue, service
):
    class StoppingSandbox:
        def run_json(self, *_arguments, **_options):
            raise SystemExit(1)  # as Celery's signal handler does

    job_id = service.submit("succeed")

    with pytest.raises(SystemExit):
        Runner(settings, session_factory, storage, queue, StoppingSandbox()).run_job(job_id)

    assert (service.job(job_id).state, queue.sent) == ("queued", [job_id])
    assert left_in_spool(storage) == []


def test_survives_a_database_that_is_away_when_the_job_ends(runner, service, monkeypatch):
    job_id = service.submit("succeed")
    settle = runner._session_factory.begin
    failures = iter([OperationalError("UPDATE", {}, Exception("locked"))] * 2)
    is_running = threading.Event()

    def begin():
        if is_running.is_set() and (failure := next(failures, None)):
            raise failure
        return settle()

    monkeypatch.setattr(runner, "_publish", _then(runner._publish, is_running.set))
    monkeypatch.setattr(runner, "_session_factory", _Sessions(runner._session_factory, begin))

    runner.run_job(job_id)

    assert service.job(job_id).state == "succeeded"


class _Sessions:
    def __init__(self, factory, begin):
        self._factory = factory
        self.begin = begin

    def __call__(self):
        return self._factory()


def _then(function, afterwards):
    def call(*arguments):
        result = function(*arguments)
        afterwards()
        return result

    return call


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [("succeed", ["job.succeeded"]), ("refuse", ["job.failing", "job.failed"])],
)
def test_logs_an_attempt_with_its_job(runner, service, behaviour, end):
    job_id = service.submit(behaviour)

    with capture_logs(processors=[merge_contextvars]) as logs:
        runner.run_job(job_id)

    ours = [it for it in logs if it["event"].startswith("job.")]
    assert {it["job_id"] for it in ours} == {job_id}
    events = [it["event"] for it in ours]
    assert [events[0], *events[-len(end) :]] == ["job.started", *end]
    stages = [it["stage"] for it in ours if it["event"] == "job.stage"]
    assert stages[0] == "compressing"


def test_is_never_sent_again_once_it_has_ended(runner, service, session_factory):
    job_id = service.submit("succeed")

    runner.run_job(job_id)

    with session_factory.begin() as session:
        assert reaping.make_due(session) == 0
