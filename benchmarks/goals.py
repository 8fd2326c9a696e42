"""Goals on trained models: what a search finds on a job's data, and what fresh data say of it.

    python -m benchmarks.goals --models .models --sets DIR [--only MODEL] [--budget-seconds 60]

`python -m benchmarks.evaluation_sets --out DIR` makes the datasets first. A search runs in the
sandbox, as a job of the service does. Each goal's choice is compared with the original once more on
the held-out samples, which the job never saw; for speed also with the fastest of onnxruntime's own
recipes that keeps the scores.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparison.rivals import Rival, fastest_rival
from benchmarks.comparison.runs import Bench
from benchmarks.tasks.catalogue import TASK_OF_MODEL
from worker.engine.report.quality import Score
from worker.engine.report.report import Report
from worker.engine.requests import CompressedModel, CompressModel
from worker.sandbox.process import Limits, Sandbox

GOALS: dict[str, dict[str, Any]] = {
    "size": {
        "minimize": "size",
        "within": {"max_accuracy_drop": 0.01, "max_latency_ratio": 1.05},
    },
    "latency": {"minimize": "latency", "within": {"max_accuracy_drop": 0.01}},
}
LIMIT = 0.01
LIMITS = Limits(wall_seconds=3600)
WIN, LARGE_WIN = 3.0, 6.0
NOT_SLOWER = 1.05


@dataclass(frozen=True)
class Found:
    """One search's outcome."""

    goal: str
    model: str
    report: Report
    fresh: Sequence[Score]
    seconds: float
    rival: Rival | None

    @property
    def times_smaller(self) -> float:
        """Original over compressed file size."""
        return self.report.before.size_bytes / self.report.after.size_bytes

    @property
    def latency_ratio(self) -> float:
        """Compressed over original latency."""
        return self.report.latency.ratio if self.report.latency else math.nan

    @property
    def agrees(self) -> bool:
        """Whether no fresh score misses the limit by more than its interval."""
        lows = [s.drop if s.drop_interval is None else s.drop_interval.low for s in self.fresh]
        return all(low is None or low <= LIMIT for low in lows)


def main() -> None:
    """Run what was asked for and print the table."""
    arguments = parse_arguments()
    with Sandbox() as sandbox:
        found = [
            show(search(sandbox, name, goal, arguments))
            for goal in arguments.goal or GOALS
            for name in arguments.only or TASK_OF_MODEL
            if (arguments.models / f"{name}.onnx").exists()
        ]
    for goal in dict.fromkeys(each.goal for each in found):
        sys.stdout.write(summary([each for each in found if each.goal == goal]) + "\n")


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=Path(".models"))
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(TASK_OF_MODEL), metavar="MODEL")
    parser.add_argument("--goal", action="append", choices=list(GOALS))
    parser.add_argument("--budget-seconds", type=float, default=60)
    return parser.parse_args()


def search(sandbox: Sandbox, name: str, goal: str, arguments: argparse.Namespace) -> Found:
    """Reach a goal, then compare the choice on the held-out samples."""
    given: Path = arguments.sets
    spec = json.loads((given / f"{name}.spec.json").read_text())
    parts = {
        part: next(p for p in given.glob(f"{name}.{part}.*") if p.suffix in {".npz", ".zip"})
        for part in ("calibration", "evaluation", "held_out")
    }
    wanted = spec | {"goal": GOALS[goal] | {"budget_seconds": arguments.budget_seconds}}
    model = (arguments.models / f"{name}.onnx").absolute()
    rival: Rival | None = None
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = compress(
            sandbox, Path(folder), model, wanted, parts["calibration"], parts["evaluation"]
        )
        seconds = time.perf_counter() - started
        if goal == "latency":
            artifact = Path(folder) / "artifact" / result.artifact_name
            bench = Bench(arguments.models, Path(folder) / "results", LIMITS.wall_seconds)
            rival = fastest_rival(bench, name, artifact, LIMIT)
    report = result.report
    resolved = report.manifest.resolved_spec
    fresh: Sequence[Score] = []
    if resolved is not None:
        evaluation = resolved.evaluation.model_copy(
            update={"latency": None, "blame": None, "ruin_below_sqnr_db": None}
        )
        again = resolved.model_copy(update={"evaluation": evaluation}).model_dump(mode="json")
        with tempfile.TemporaryDirectory() as folder:
            result = compress(
                sandbox, Path(folder), model, again, parts["calibration"], parts["held_out"]
            )
        fresh = result.report.accuracy
    return Found(goal, name, report, fresh, seconds, rival)


def compress(
    sandbox: Sandbox,
    folder: Path,
    model: Path,
    spec: dict[str, Any],
    calibration: Path,
    evaluation: Path,
) -> CompressedModel:
    """Run one job in a folder of its own, which then holds the artifact."""
    for made in ("work", "artifact"):
        (folder / made).mkdir()
    request = CompressModel.model_validate(
        {
            "model_path": model,
            "spec": spec,
            "artifact_folder": folder / "artifact",
            "workdir": folder / "work",
            "calibration_path": calibration.absolute(),
            "evaluation_path": evaluation.absolute(),
        }
    )
    return sandbox.run(request, LIMITS)


def show(found: Found) -> Found:
    """Print one row."""
    frontier = found.report.frontier
    chosen = next(p.name for p in frontier.points if p.role == "chosen") if frontier else ""
    scores = ", ".join(f"{s.before:.4f} to {s.after:.4f}" for s in found.report.accuracy)
    fresh = ", ".join(f"{s.before:.4f} to {s.after:.4f}" for s in found.fresh)
    rival = f" | {found.rival.latency_ratio:.2f} of {found.rival.method}" if found.rival else ""
    sys.stdout.write(
        f"{found.goal:8} {found.model:18} {found.times_smaller:6.2f}x {found.latency_ratio:5.2f}"
        f" {'met' if found.report.verdict.passed else 'missed':6} {scores} | held out: {fresh}"
        f" {'agrees' if found.agrees else 'DISAGREES'} | {found.seconds:.0f} s | {chosen}{rival}\n"
    )
    sys.stdout.flush()
    return found


def summary(found: Sequence[Found]) -> str:
    """Return the line that counts what was reached."""
    met = [each for each in found if each.report.verdict.passed]
    speed = [max(each.latency_ratio, 1e-9) for each in found]
    mean = math.exp(-sum(map(math.log, speed)) / len(speed))
    rivals = [each.rival.latency_ratio for each in found if each.rival]
    against = f"; no slower than onnxruntime in {sum(r <= NOT_SLOWER for r in rivals)}"
    return (
        f"{found[0].goal}: {sum(each.times_smaller >= WIN for each in met)} of {len(found)} wins at"
        f" {WIN:g}x, {sum(each.times_smaller >= LARGE_WIN for each in met)} at {LARGE_WIN:g}x;"
        f" {mean:.2f} times as fast in the geometric mean; {sum(each.agrees for each in found)}"
        f" agree with held-out data; the longest took {max(each.seconds for each in found):.0f} s"
        + (f"{against} of {len(rivals)}" if rivals else "")
    )


if __name__ == "__main__":
    main()
