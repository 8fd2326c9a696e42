"""Labelled datasets for the benchmark's models, as a user would upload them.

    python -m benchmarks.evaluation_sets --out DIR [--models .models] [--only MODEL] [--check]

For each model it writes `MODEL.calibration`, `MODEL.evaluation` and `MODEL.held_out`, each `.npz`
or `.zip`, and `MODEL.spec.json`, whose `evaluation.metrics` declare the task's own score.
Evaluation and held-out samples are never the same; calibration takes others too or, where there is
no other material, some of the evaluation's. `--whole` makes the evaluation of everything that the
task scores, and no held-out samples; `--check` then shows the score of the spec beside the task's
own.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.comparison.samples import Feeds, save_feeds
from benchmarks.tasks.base import LabelledRun, Network, Part
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from worker.engine.datasets.fitting import FittedSamples
from worker.engine.datasets.opening import open_dataset
from worker.engine.evaluation import Scoring, compare, score_original
from worker.engine.inspection import describe
from worker.engine.model_io import load
from worker.engine.requests import UnpackLimits
from worker.engine.runtime import open_session
from worker.engine.spec import Evaluation

CALIBRATION_SAMPLES = 64


def main() -> None:
    """Write what was asked for."""
    arguments = parse_arguments()
    for name in arguments.only or TASK_OF_MODEL:
        path = arguments.models / f"{name}.onnx"
        if not path.exists():
            sys.stderr.write(f"{name} is not in {arguments.models}\n")
            continue
        evaluation = write_sets(name, arguments.models, arguments.out, whole=arguments.whole)
        sys.stdout.write(f"{name}: {evaluation.name}\n")
        if arguments.check:
            sys.stdout.write(checked(name, arguments.models, evaluation))


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--whole", action="store_true", help="evaluate on all that the task scores")
    parser.add_argument("--check", action="store_true", help="compare with the task's own score")
    return parser.parse_args()


def write_sets(name: str, models: Path, out: Path, *, whole: bool = False) -> Path:
    """Write a model's datasets and spec, and return the path of its evaluation data."""
    task, network = TASK_OF_MODEL[name], Network(models / f"{name}.onnx")
    part: Part = "whole" if whole else "evaluation"
    runs = list(task.labelled(network, models, part))
    if task.samples_are_scored:
        calibration = evenly([run.feeds for run in runs], CALIBRATION_SAMPLES)
    else:
        calibration = list(task.samples(network, models, CALIBRATION_SAMPLES))
    save_feeds(calibration, out, f"{name}.calibration")
    if not whole:
        save_labelled(task.labelled(network, models, "held_out"), out, f"{name}.held_out")
    spec = {"evaluation": {"metrics": list(task.metrics)}}
    (out / f"{name}.spec.json").write_text(json.dumps(spec, indent=1) + "\n")
    return save_labelled(runs, out, f"{name}.evaluation")


def save_labelled(runs: Iterable[LabelledRun], folder: Path, name: str) -> Path:
    """Write runs with their labels and return the path."""
    return save_feeds([{**run.feeds, **run.labels} for run in runs], folder, name)


def evenly(feeds: list[Feeds], count: int) -> list[Feeds]:
    """Return at most so many of the runs, from all over."""
    places = np.linspace(0, len(feeds) - 1, min(count, len(feeds))).astype(int)
    return [feeds[place] for place in places]


def checked(name: str, models: Path, evaluation: Path) -> str:
    """Return a line for each declared score of the original, and the task's own scores."""
    task, path = TASK_OF_MODEL[name], models / f"{name}.onnx"
    loaded = load(path, evaluation.parent / "unpacked", UnpackLimits())
    session = open_session(path)
    samples = FittedSamples(
        open_dataset(evaluation, UnpackLimits()), describe(loaded.model, loaded.size_bytes).inputs
    )
    options = Evaluation.model_validate({"metrics": list(task.metrics)})
    scores, _ = score_original(session, samples, options)
    found = compare(session, session, samples, Scoring(scores), lambda _: None)
    lines = [
        f"  {score.name} {score.before:.6f} {score.before_interval} on {score.samples}\n"
        for score in found.accuracy
    ]
    own = task.score(Network(path), models)
    return "".join([*lines, f"  the task's own: {own}\n"])


if __name__ == "__main__":
    main()
