"""Models that load and then hang, explode or crash, run as jobs by the real engine."""

import re

import pytest

from app.repositories import jobs
from tests import hostile_runs as runs
from tests.hostile_datasets import floats, npz
from tests.hostile_models import sound
from worker.runner import Runner
from worker.sandbox.process import Sandbox

SPEC = {
    "passes": [{"method": "weight_quantization", "minimum_values": 1}],
    "evaluation": {"latency": None},
}


@pytest.fixture(scope="module")
def engine_sandbox():
    with Sandbox(spares=1) as sandbox:
        yield sandbox


@pytest.fixture
def run_job(settings, session_factory, storage, queue, engine_sandbox, service):
    """Run a job on a model to its end and return its row."""
    hasty = settings.model_copy(
        update={"operation_time_limit_seconds": 3, "job_time_limit_seconds": 60}
    )
    runner = Runner(hasty, session_factory, storage, queue, engine_sandbox)

    def run_job(model, evaluation=None):
        dataset_id = evaluation and service.add_dataset(evaluation)
        new_job = jobs.NewJob(
            "default", service.add_model(model), SPEC, evaluation_dataset_id=dataset_id
        )
        with session_factory.begin() as session:
            job_id = jobs.add(session, new_job, resend_seconds=30).id
        runner.run_job(job_id)
        return service.job(job_id)

    return run_job


@pytest.mark.parametrize(
    ("model", "code", "words"),
    [
        (runs.endless_loop(), "time_limit", "running the model .* stopped after 3 seconds"),
        (runs.giant_constant(2**34), "out_of_memory", "memory"),
        (runs.giant_constant(2**30), "out_of_memory", "memory"),
        (runs.overflowing_division(), "crashed", "SIGFPE"),
        (runs.emptied_recurrent("LSTM"), "crashed", "SIGABRT"),
        (runs.emptied_recurrent("GRU"), "crashed", "SIGABRT"),
        (runs.strange_convolution(group=0), "calibration_failed", "group must be greater than 0"),
        (runs.impossible_axis(), "calibration_failed", "axis 77 is not in valid range"),
    ],
    ids=["loop", "64 GB", "4 GB", "division", "LSTM", "GRU", "groups", "axis"],
)
def test_a_model_that_cannot_run_fails_its_job_and_no_other(run_job, storage, model, code, words):
    job = run_job(model)

    assert (job.state, job.error["code"]) == ("failed", code), job.error
    assert re.search(words, job.error["detail"])
    assert str(storage.spool()) not in job.error["detail"]
    assert list(storage.spool().iterdir()) == []
    assert run_job(sound()).state == "succeeded"


def test_a_batch_of_0_never_reaches_onnxruntime(run_job):
    job = run_job(runs.recurrent_of_any_batch(), evaluation=npz(x=floats(2, 3, 0, 8)))

    assert (job.state, job.error["code"]) == ("failed", "invalid_dataset")
    assert "holds no values" in job.error["detail"]
