"""Every benchmark model through every kind of job, over HTTP against a running service.

    onnxpress up                                            # or any other service
    python -m benchmarks.jobs_on_models [--url URL] [--models .models]

Prints a table. The exit status is 1 where the service answered 5xx, a job hung or failed inside,
or onnxruntime cannot load what a job that succeeded gave back.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison.runs import Bench
from benchmarks.tasks.base import Network
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from client.errors import ClientError, ProblemError
from client.resources import Job
from client.sdk import Client

PASSES: dict[str, list[dict[str, Any]]] = {
    "weight 8 bit": [{"method": "weight_quantization"}],
    "weight 4 bit": [{"method": "weight_quantization", "bits": 4}],
    "static": [{"method": "static_quantization"}],
    "dynamic": [{"method": "dynamic_quantization"}],
    "float16": [{"method": "float16"}],
    "pruning": [{"method": "initializer_pruning", "sparsity": 0.3}],
    "pruning, weight 8 bit": [
        {"method": "initializer_pruning", "sparsity": 0.2},
        {"method": "weight_quantization"},
    ],
}
LATENCY_RUNS = 5
OUR_FAULTS = {"internal_error", "worker_crashed", "crashed"}
ROW = "{:18} {:22} {:10} {:24} {:>7} {:>9}  {}\n"


@dataclass(frozen=True)
class Outcome:
    """How one job ended; `fault` is what must not happen, empty where nothing did."""

    model: str
    kind: str
    state: str
    code: str = ""
    smaller: float | None = None
    seconds: float | None = None
    words: str = ""
    fault: str = ""

    def line(self) -> str:
        """Return the job's line of the table."""
        smaller = "" if self.smaller is None else f"{self.smaller:.2f}x"
        seconds = "" if self.seconds is None else f"{self.seconds:.1f} s"
        words = f"FAULT: {self.fault}" if self.fault else self.words
        return ROW.format(self.model, self.kind, self.state, self.code, smaller, seconds, words)


def main() -> None:
    """Run all jobs, a model's at a time, and say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--api-key")
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--limit-seconds", type=float, default=900, help="of each job")
    arguments = parser.parse_args()
    results = arguments.results or arguments.models / "results"
    bench = Bench(arguments.models, results, arguments.limit_seconds)
    faults = 0
    sys.stdout.write(ROW.format("model", "job", "state", "code", "smaller", "time", "verdict"))
    with Client(arguments.url, arguments.api_key) as client:
        for model in arguments.only or TASK_OF_MODEL:
            for outcome in run_jobs(client, bench, model, arguments.limit_seconds):
                faults += bool(outcome.fault)
                sys.stdout.write(outcome.line())
                sys.stdout.flush()
    sys.stdout.write(f"{faults} faults\n")
    sys.exit(1 if faults else 0)


def run_jobs(client: Client, bench: Bench, model: str, limit: float) -> Iterator[Outcome]:
    """Submit a model's jobs and yield their outcomes."""
    bench.scores(model)  # makes the samples
    try:
        uploaded = client.upload_model(bench.original(model))
        samples = client.upload_dataset(bench.samples(model, "calibration"), uploaded.id)
    except ClientError as error:
        yield Outcome(model, "upload", "", fault=str(error))
        return
    jobs: dict[str, Job] = {}
    for kind, passes in PASSES.items():
        spec = {"passes": passes, "evaluation": {"latency": {"runs": LATENCY_RUNS}}}
        try:
            jobs[kind] = client.submit(uploaded.id, spec, calibration_dataset_id=samples.id)
        except ClientError as error:
            yield refused(model, kind, error)
    for kind, job in jobs.items():
        yield outcome_of(client, model, kind, job.id, limit)


def outcome_of(client: Client, model: str, kind: str, job_id: str, limit: float) -> Outcome:
    """Wait for a job and check what it gave back."""
    try:
        job = client.wait(job_id, limit)
        seconds = None
        if job.started_at and job.finished_at:
            seconds = (job.finished_at - job.started_at).total_seconds()
        if job.state != "succeeded":
            code = job.error.code if job.error else ""
            words = job.error.detail if job.error else ""
            fault = words if code in OUR_FAULTS or not code else ""
            return Outcome(model, kind, job.state, code, None, seconds, words, fault)
        report = client.report(job.id)
        fault = load_failure(client, job.id)
    except TimeoutError as error:
        return Outcome(model, kind, "hangs", fault=str(error))
    except ClientError as error:
        return refused(model, kind, error)
    smaller = report["before"]["size_bytes"] / report["after"]["size_bytes"]
    words = report["verdict"]["summary"]
    return Outcome(model, kind, job.state, "", smaller, seconds, words, fault)


def load_failure(client: Client, job_id: str) -> str:
    """Return why onnxruntime does not load a job's artifact, empty where it does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        client.download_artifact(job_id, path)
        try:
            Network(path)
        except Exception as error:  # noqa: BLE001 - onnxruntime has no common base of its errors
            return f"the artifact does not load: {error}"
    return ""


def refused(model: str, kind: str, error: ClientError) -> Outcome:
    """Return the outcome of a call that failed; 5xx and no answer are the service's fault."""
    if isinstance(error, ProblemError) and error.problem.status < 500:
        return Outcome(model, kind, "refused", error.problem.code, words=str(error))
    return Outcome(model, kind, "failed", fault=str(error))


if __name__ == "__main__":
    main()
