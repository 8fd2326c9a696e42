"""Calls that meet in the middle of each other's transactions, on both databases."""

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

import onnx
import pytest
from sqlalchemy import event

from app.errors import ConflictError
from app.repositories import jobs as rows
from app.services import datasets, jobs, models, submitting, sweeps
from app.services.datasets import NewUpload
from app.services.submitting import Submission
from app.services.sweeps import SweepSubmission
from app.services.uploads import SpoolWriter
from tests.app.conftest import dataset_bytes, model_bytes
from tests.conftest import both_databases
from worker.engine.spec import Spec

pytestmark = both_databases

SPEC = Spec.model_validate({"passes": [{"method": "float16"}]})


@pytest.fixture
def service(context, settings, session_factory, storage):
    """The services on a database and storage of the test's own; uploads are kept for a week."""
    settings = settings.model_copy(update={"retention_days": 7})
    return replace(context, settings=settings, session_factory=session_factory, storage=storage)


def upload(service, content):
    writer = SpoolWriter(service.storage.spool(), "x", max_bytes=10**6)
    writer.write(content)
    return writer.finish()


def add_model(service, content=None):
    return models.add(service, "ours", upload(service, content or model_bytes()))[0].id


def add_dataset(service, samples=8):
    content = dataset_bytes(samples=samples)
    return datasets.add(service, "ours", NewUpload(upload(service, content)))[0].id


def cancelled_job(service, model_id, dataset_id):
    job = submitting.submit(service, "ours", Submission(model_id, SPEC, dataset_id), None).job
    jobs.cancel(service, "ours", job.id)
    return job.id


def cancelled_sweep(service, model_id, dataset_id):
    submission = SweepSubmission(model_id, [SPEC], ["#"], [{}], dataset_id)
    sweep = sweeps.submit(service, "ours", submission, None).view.standing.row
    sweeps.cancel(service, "ours", sweep.id)
    return sweep.id


def run_within(service, first, second):
    """Call `second` in a thread when `first` has done all but commit; return what it gave."""
    begun = []

    def start(_session):
        if not begun:
            begun.append(pool.submit(second))
            wait(begun, timeout=0.5)  # it ends within unless it waits for the first, as it should

    with ThreadPoolExecutor(1) as pool:
        event.listen(service.session_factory, "before_commit", start)
        first()
        return begun[0].result()


@pytest.mark.parametrize(
    ("add", "retry"), [(cancelled_job, jobs.retry), (cancelled_sweep, sweeps.retry)]
)
@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("is_retry_first", [True, False])
def test_of_a_retry_and_a_deletion_at_once_one_is_refused(
    service, add, retry, kind, is_retry_first
):
    uploads = {"model": add_model(service), "dataset": add_dataset(service)}
    entity_id = add(service, uploads["model"], uploads["dataset"])
    delete = {"model": models.delete, "dataset": datasets.delete}[kind]
    calls = [
        partial(retry, service, "ours", entity_id),
        partial(delete, service, "ours", uploads[kind]),
    ]
    first, second = calls if is_retry_first else reversed(calls)

    with pytest.raises(ConflictError) as caught:
        run_within(service, first, second)

    with service.session_factory() as session:
        waiting = rows.unfinished_users(session, uploads[kind])
    assert caught.value.code == f"{kind}_in_use" if is_retry_first else f"{kind}_gone"
    assert len(waiting) == is_retry_first


@pytest.mark.parametrize("add", [add_model, add_dataset])
def test_what_comes_again_while_it_is_deleted_is_new(service, add):
    delete = models.delete if add is add_model else datasets.delete
    known = add(service)

    again = run_within(service, partial(delete, service, "ours", known), partial(add, service))

    assert again != known


def submit_job(service, model_id, calibration, evaluation):
    submission = Submission(model_id, SPEC, calibration, evaluation)
    return submitting.submit(service, "ours", submission, None).job.id


def submit_sweep(service, model_id, calibration, evaluation):
    submission = SweepSubmission(model_id, [SPEC], ["#"], [{}], calibration, evaluation)
    return sweeps.submit(service, "ours", submission, None).view.standing.row.id


def retry_job(service, model_id, calibration, evaluation):
    job_id = submit_job(service, model_id, calibration, evaluation)
    jobs.cancel(service, "ours", job_id)
    return jobs.retry(service, "ours", job_id).id


@pytest.mark.parametrize("call", [submit_job, submit_sweep, retry_job])
def test_calls_that_name_the_same_datasets_in_swapped_roles_never_wait_for_each_other(
    service, call
):
    one, other = add_dataset(service), add_dataset(service, samples=9)
    renamed = onnx.load_from_string(model_bytes())
    renamed.graph.name = "renamed"
    named = [
        (add_model(service), one, other),
        (add_model(service, renamed.SerializeToString()), other, one),
    ]

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda ids: call(service, *ids), named * 50))

    assert len(set(made)) == 100
