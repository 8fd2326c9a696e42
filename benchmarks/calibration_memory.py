"""Memory that calibration takes: the peak with few samples and with many, by method.

    python -m benchmarks.calibration_memory [--models .models] [--only MODEL] [--counts 64,512]

Each run is a process of its own; the peak is that of the stage which calibrates and compresses.
Where a task has fewer samples than wanted, they are repeated.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.comparison.samples import save_feeds
from benchmarks.tasks.base import Network
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from worker.engine.requests import CompressModel
from worker.sandbox.process import Limits, Sandbox

METHODS = ("minmax", "percentile", "entropy", "mse")
STAGE = "compressing"
MEBIBYTE = 2**20
LIMITS = Limits(wall_seconds=3600)
ROW = "{:20} {:12} {:>12} {:>8}\n"


def main() -> None:
    """Print a line for each model and method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--counts", default="64,512", help="samples, two numbers")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.counts.split(",")]
    sys.stdout.write(ROW.format("model", "method", "peak, MB", "growth"))
    for name in arguments.only or TASK_OF_MODEL:
        for line in lines_of(name, arguments.models.absolute(), counts):
            sys.stdout.write(line)
            sys.stdout.flush()


def lines_of(name: str, models: Path, counts: list[int]) -> Iterator[str]:
    """Yield the line of each method for one model."""
    model = models / f"{name}.onnx"
    feeds = list(TASK_OF_MODEL[name].samples(Network(model), models, max(counts)))
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            save_feeds(list(islice(cycle(feeds), count)), Path(folder), str(count))
            for count in counts
        ]
        del feeds
        for method in METHODS:
            peaks = [peak_bytes(model, samples, method) for samples in paths]
            growth = f"{peaks[-1] / peaks[0] - 1:+.1%}"
            megabytes = " ".join(f"{peak / MEBIBYTE:.0f}" for peak in peaks)
            yield ROW.format(name, method, megabytes, growth)


def peak_bytes(model: Path, samples: Path, method: str) -> int:
    """Return the peak resident memory of a job that calibrates all nodes on these samples."""
    options = {"calibration_method": method, "fallback": "off"}
    spec: dict[str, Any] = {
        "passes": [{"method": "static_quantization", **options}],
        "evaluation": {"latency": None, "blame": None, "ruin_below_sqnr_db": None},
    }
    with tempfile.TemporaryDirectory() as name:
        folders = {key: Path(name) / key for key in ("workdir", "artifact_folder")}
        for folder in folders.values():
            folder.mkdir()
        request = CompressModel.model_validate(
            {"model_path": model, "calibration_path": samples, "spec": spec, **folders}
        )
        spending = Sandbox().run(request, LIMITS).report.spending
    peaks = {stage.stage: stage.peak_memory_bytes for stage in spending.stages}
    return peaks[STAGE] or spending.peak_memory_bytes


if __name__ == "__main__":
    main()
