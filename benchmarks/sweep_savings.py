"""What a sweep saves: the CPU seconds of its jobs, against the same specs as jobs apart.

    onnxpress up                                            # or any other service, with one worker
    python -m benchmarks.sweep_savings [--url URL] [--models .models] [--only MODEL]

Jobs apart get a copy of the model each, with bytes of its own, so that they find nothing that
another left behind. Sweeps and jobs apart take turns; the table has their medians.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import onnx

from benchmarks.comparison.runs import Bench
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from client.resources import Dataset, Model
from client.sdk import Client

SPECS: list[dict[str, Any]] = [
    {"passes": [{"method": "static_quantization"}]},
    {"passes": [{"method": "static_quantization", "calibration_method": "minmax"}]},
    {"passes": [{"method": "static_quantization", "calibration_method": "percentile"}]},
    {"passes": [{"method": "weight_quantization"}]},
]
ROW = "{:20} {:>10} {:>10} {:>8}\n"


def main() -> None:
    """Run every model's sweeps and jobs apart, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--api-key")
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit-seconds", type=float, default=900, help="of each sweep")
    arguments = parser.parse_args()
    results = arguments.results or arguments.models / "results"
    bench = Bench(arguments.models, results, arguments.limit_seconds)
    sys.stdout.write(ROW.format("model", "apart, s", "sweep, s", "saved"))
    with Client(arguments.url, arguments.api_key) as client:
        for model in arguments.only or TASK_OF_MODEL:
            sys.stdout.write(line_of(client, bench, model, arguments))
            sys.stdout.flush()


def line_of(client: Client, bench: Bench, model: str, arguments: argparse.Namespace) -> str:
    """Return the line of a model: the medians of all rounds."""
    bench.scores(model)  # makes the samples
    path, samples = bench.original(model), bench.samples(model, "calibration")
    apart, together = [], []
    for _ in range(arguments.rounds):
        singles = [([spec], upload_copy(client, path)) for spec in SPECS]
        dataset = client.upload_dataset(samples, singles[0][1].id)
        apart.append(sum(spent(client, *it, dataset, arguments.limit_seconds) for it in singles))
        shared = upload_copy(client, path)
        together.append(spent(client, SPECS, shared, dataset, arguments.limit_seconds))
    before, after = statistics.median(apart), statistics.median(together)
    return ROW.format(model, f"{before:.1f}", f"{after:.1f}", f"{1 - after / before:.0%}")


def upload_copy(client: Client, path: Path) -> Model:
    """Upload a model with a note in it that makes it another to the service."""
    model = onnx.load(path)
    note = model.metadata_props.add()
    note.key, note.value = "copy", uuid4().hex
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        onnx.save(model, copy)
        return client.upload_model(copy)


def spent(
    client: Client,
    specs: list[dict[str, Any]],
    model: Model,
    dataset: Dataset,
    limit_seconds: float,
) -> float:
    """Return the CPU seconds that all jobs of a sweep of these specs took."""
    sweep = client.submit_sweep(model.id, {"specs": specs}, calibration_dataset_id=dataset.id)
    sweep = client.wait_sweep(sweep.id, limit_seconds)
    if sweep.state != "succeeded":
        raise SystemExit(f"the sweep {sweep.id} over {model.name} has {sweep.state}")
    jobs = [client.get(job.id) for job in sweep.jobs]
    return sum(job.metrics["cpu_seconds"] for job in jobs if job.metrics is not None)


if __name__ == "__main__":
    main()
