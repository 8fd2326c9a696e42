"""The preflight of every benchmark model, and its forecasts beside what real jobs then give.

    python -m benchmarks.preflight_forecasts [--models .models] [--whole-jobs] [--without-data]

Each call is one of the service's sandbox, as the API and the worker make it. The error is forecast
over result, less one. Jobs have 64 calibration samples where the method wants any; with
`--whole-jobs` they measure latency and evaluate on all samples too, and their time and memory are
held against the forecast.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.runs import Bench
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from worker.engine.errors import EngineError
from worker.engine.operations import (
    CompressModel,
    Preflight,
    PreflightModel,
    run,
)
from worker.engine.preflight.contents import Bytes, Forecast, Seconds
from worker.engine.report.report import Report
from worker.engine.spec import Evaluation, Spec
from worker.sandbox.process import ChildFailedError, Limits, Sandbox

MEMORY_BYTES = 8 * 2**30
SPARE_SECONDS = 3.0
"""After which a child waits with its imports done, as one does in a service at rest."""
COLUMNS = ("Model", "Method", "Forecast", "Job", "Error", "Time", "Memory")
FEW_SAMPLES = 4
"""That a job evaluates on where only its size is asked."""


def main() -> None:
    """Print each model's preflight and jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--method", action="append", help="part of a method's name")
    parser.add_argument("--without-jobs", action="store_true", help="time the preflights only")
    parser.add_argument("--without-data", action="store_true", help="calibrate on made-up samples")
    parser.add_argument("--whole-jobs", action="store_true", help="compare time and memory too")
    parser.add_argument("--limit-seconds", type=float, default=900, help="of each job")
    arguments = parser.parse_args()
    results = arguments.results or arguments.models / "results"
    bench = Bench(arguments.models, results, arguments.limit_seconds)
    evaluation = Evaluation(ruin_below_sqnr_db=None)
    if not arguments.whole_jobs:
        evaluation = Evaluation(ruin_below_sqnr_db=None, latency=None, max_samples=FEW_SAMPLES)
    lines: list[str] = []
    with Sandbox(spares=1) as sandbox:
        jobs = Jobs(sandbox, evaluation, Limits(arguments.limit_seconds, memory_bytes=MEMORY_BYTES))
        for model in arguments.only or TASK_OF_MODEL:
            path = bench.original(model)
            preflight, seconds = run_preflight(jobs, path)
            say(f"{model}: preflight {seconds:.2f} s, {cpu_seconds(path):.2f} s of a processor\n")
            if arguments.without_jobs:
                continue
            samples = None if arguments.without_data else samples_of(bench, model)
            for forecast in preflight.forecasts:
                if any(part in name_of(forecast) for part in arguments.method or [""]):
                    cells = compare(jobs, path, samples, forecast)
                    lines.append(f"| {model} | {name_of(forecast)} | {' | '.join(cells)} |\n")
                    say(lines[-1])
    say(f"| {' | '.join(COLUMNS)} |\n{'| --- ' * len(COLUMNS)}|\n{''.join(lines)}")


@dataclass(frozen=True)
class Jobs:
    """How jobs are run."""

    sandbox: Sandbox
    evaluation: Evaluation
    limits: Limits

    @property
    def are_whole(self) -> bool:
        """Whether they do all that a job does."""
        return self.evaluation.latency is not None


def samples_of(bench: Bench, model: str) -> Path:
    """Return a model's calibration samples, made where they are missing."""
    bench.scores(model)
    return bench.samples(model, "calibration")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def run_preflight(jobs: Jobs, model: Path) -> tuple[Preflight, float]:
    """Return a model's preflight, and how long it took with a child waiting for it."""
    time.sleep(SPARE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        request = PreflightModel(model_path=model, workdir=Path(folder))
        answer = jobs.sandbox.run(request, jobs.limits)
        return answer, time.perf_counter() - started


def cpu_seconds(model: Path) -> float:
    """Return the processor time of a preflight, which other work on the machine disturbs less."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        run(PreflightModel(model_path=model, workdir=Path(folder)), lambda _stage, _fraction: None)
        return time.process_time() - started


def name_of(forecast: Forecast) -> str:
    """Return a short name of what is forecast."""
    step = forecast.passes[0]
    bits = getattr(step, "bits", None)
    return step.method if bits is None else f"{step.method} {bits} bits"


def compare(jobs: Jobs, model: Path, samples: Path | None, forecast: Forecast) -> list[str]:
    """Return a line's cells after the first two."""
    started = time.perf_counter()
    try:
        report = run_job(jobs, model, samples if forecast.needs_data else None, forecast)
    except (EngineError, ChildFailedError) as error:
        refused = forecast.refusal.code if forecast.refusal else "-"
        return [refused, error.code, "as forecast" if refused == error.code else "NO", "", ""]
    seconds = time.perf_counter() - started
    if forecast.size_bytes is None:
        return ["refused", "compressed", "NO", "", ""]
    size: int = getattr(report.after, forecast.measure)
    cells = [
        f"{forecast.size_bytes / 1e6:.3f} MB",
        f"{size / 1e6:.3f} MB",
        f"{forecast.size_bytes / size - 1:+.1%}{in_range(forecast, size)}",
    ]
    if not jobs.are_whole:
        return [*cells, "", ""]
    peak = report.peak_memory_bytes
    return [
        *cells,
        f"{seconds:.1f} s, {held(seconds, forecast.duration_seconds)}",
        f"{peak / 1e6:.0f} MB, {held(peak, forecast.memory_bytes)}",
    ]


def in_range(forecast: Forecast, size: int) -> str:
    """Return what a forecast that leaves a range says of a size."""
    if forecast.size_is_certain:
        return ""
    return f", {held(size, forecast.size_range)}: only a range is foretold"


def held(value: float, span: Seconds | Bytes | None) -> str:
    """Return what a forecast said of a value."""
    if span is None:
        return ""
    return "in" if span.low <= value <= span.high else f"NOT in {span.low:.3g} to {span.high:.3g}"


def run_job(jobs: Jobs, model: Path, samples: Path | None, forecast: Forecast) -> Report:
    """Compress a model as it was forecast, and return the report."""
    with tempfile.TemporaryDirectory() as folder:
        request = CompressModel(
            model_path=model,
            calibration_path=samples,
            spec=Spec(passes=forecast.passes, evaluation=jobs.evaluation),
            artifact_folder=Path(folder) / "artifact",
            workdir=Path(folder),
        )
        (Path(folder) / "artifact").mkdir()
        return jobs.sandbox.run(request, jobs.limits).report


if __name__ == "__main__":
    main()
