"""What compensated rounding takes, beside what a search foretells of it before it starts one.

    python -m benchmarks.rounding_times [--models .models] [--only MODEL] [--bits 4]

Each model is prepared, and its weights stored at few bits in this process, with compensated
rounding and without, on the calibration samples; what that adds is held against the forecast of
`worker/engine/search/rounding_time.py`, running the samples included.
"""

import argparse
import sys
import tempfile
import time
from math import exp, log
from pathlib import Path

import onnx

from benchmarks.comparison.runs import Bench
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.opening import open_dataset
from worker.engine.errors import EngineError
from worker.engine.inspection import describe
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.pipeline import compress
from worker.engine.preparation.prepare import prepare
from worker.engine.requests import CompressModel, UnpackLimits
from worker.engine.runtime import open_session, run
from worker.engine.search.rounding_time import collecting_seconds, rounding_seconds
from worker.engine.spec import Evaluation, Spec

ROW = "{:20} {:>9} {:>9} {:>7}\n"
LEAST_SECONDS = 0.5
"""Of shorter rounding the ratio is left out of the mean: no search waits for it."""


def main() -> None:
    """Print a line for each model, and the mean error as a factor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--results", type=Path, help="default: MODELS/results")
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--bits", type=int, choices=(2, 4), default=4)
    arguments = parser.parse_args()
    results = arguments.results or arguments.models / "results"
    bench = Bench(arguments.models, results, limit_seconds=600)
    sys.stdout.write(ROW.format("model", "taken, s", "foretold", "ratio"))
    ratios = []
    for name in arguments.only or TASK_OF_MODEL:
        bench.scores(name)
        try:
            taken, foretold = times(
                bench.original(name), bench.samples(name, "calibration"), arguments.bits
            )
        except EngineError as error:
            sys.stdout.write(f"{name:20} refused: {error.code}\n")
            continue
        ratio = foretold / taken
        if taken >= LEAST_SECONDS:
            ratios.append(ratio)
        sys.stdout.write(ROW.format(name, f"{taken:.2f}", f"{foretold:.2f}", f"{ratio:.2f}"))
        sys.stdout.flush()
    if ratios:
        off = exp(sum(abs(log(ratio)) for ratio in ratios) / len(ratios))
        sys.stdout.write(f"off by a factor of {off:.2f} in the geometric mean\n")


def times(path: Path, data: Path, bits: int) -> tuple[float, float]:
    """Return the seconds that compensated rounding adds to a job, and what was foretold.

    Raises:
        EngineError: there is nothing to round, or the samples do not fit.
    """
    careful = WeightQuantization(bits=bits)
    plain = careful.model_copy(update={"error_compensation": False})
    taken = compressing_seconds(path, data, careful) - compressing_seconds(path, data, plain)
    model = prepare(onnx.load(path)).model
    session = open_session(model)
    samples = FittedSamples(
        open_dataset(data, UnpackLimits()), describe(model, path.stat().st_size).inputs
    )
    started = time.perf_counter()
    for sample in samples:
        run(session, sample.feeds)
    foretold = time.perf_counter() - started
    foretold += collecting_seconds(careful, model, len(samples)) + rounding_seconds(careful, model)
    return max(taken, 1e-3), foretold


def compressing_seconds(path: Path, data: Path, step: WeightQuantization) -> float:
    """Return what a job takes to compress with nothing known from before, all data calibrating."""
    evaluation = Evaluation(latency=None, blame=None, ruin_below_sqnr_db=None, max_samples=1)
    with tempfile.TemporaryDirectory() as folder:
        request = CompressModel(
            model_path=path,
            calibration_path=data,
            evaluation_path=data,
            spec=Spec(passes=[step], evaluation=evaluation),
            artifact_folder=Path(folder) / "artifact",
            workdir=Path(folder),
        )
        report = compress(request, lambda _stage, _fraction: None).report
    return report.durations_seconds["compressing"]


if __name__ == "__main__":
    main()
