"""One run: compress one model by one method, measure the file, and keep what was found."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.comparison.measuring import Measured
from benchmarks.comparison.methods import RECIPES, Method
from benchmarks.comparison.recipes.base import Receipt
from benchmarks.comparison.samples import find_feeds, save_feeds
from benchmarks.tasks.base import Network, Scores
from benchmarks.tasks.catalogue import TASK_OF_MODEL

CALIBRATION_SAMPLES = 64
HELD_OUT_SAMPLES = 16
MESSAGE_LENGTH = 300


@dataclass
class Result:
    """All that is known of one run."""

    model: str
    method: str
    fingerprint: str
    size_before: int
    receipt: Receipt
    size_after: int | None = None
    measured: Measured = field(default_factory=Measured)


class Bench:
    """The folders of a benchmark, and the results that earlier runs left there."""

    def __init__(self, models: Path, results: Path, limit_seconds: float) -> None:
        self.models = models.absolute()
        self._results = results
        self._limit_seconds = limit_seconds
        results.mkdir(parents=True, exist_ok=True)

    def scores(self, model: str) -> Scores:
        """Return the original's scores, and make its samples where they are missing."""
        path = self._results / f"{model}.fp32.json"
        if not path.exists():
            network = Network(self.original(model))
            self._make_samples(model, network)
            path.write_text(json.dumps(TASK_OF_MODEL[model].score(network, self.models)))
        scores: Scores = json.loads(path.read_text())
        return scores

    def find(self, model: str, method: Method) -> Result | None:
        """Return what an earlier run of any version found."""
        path = self._result_path(model, method)
        return _read_result(path) if path.exists() else None

    def run(self, model: str, method: Method) -> Result:
        """Compress and measure, unless the same version has been."""
        found, fingerprint = self.find(model, method), method.fingerprint()
        if found is not None and found.fingerprint == fingerprint:
            return found
        original = self.original(model)
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "compressed.onnx"
            receipt = self.compress(model, method, output)
            result = Result(model, method.name, fingerprint, original.stat().st_size, receipt)
            if receipt.outcome == "compressed":
                result.size_after = sum(p.stat().st_size for p in Path(folder).glob("compressed*"))
                result.measured = self._measure(model, output)
        self._result_path(model, method).write_text(json.dumps(asdict(result), indent=1))
        return result

    def compress(self, model: str, method: Method, output: Path) -> Receipt:
        """Compress a model in a process of its own; nothing is measured or kept."""
        workdir = output.parent / "work"
        workdir.mkdir()
        order = {
            "model": str(self.original(model)),
            "output": str(output),
            "workdir": str(workdir),
            "samples": str(self.samples(model, "calibration")) if method.needs_samples else None,
            "options": method.options,
        }
        order_path = output.parent / "order.json"
        order_path.write_text(json.dumps(order))
        command = [method.python, "-m", f"{RECIPES}.{method.recipe}", str(order_path)]
        answer = _last_line_of(command, workdir, self._limit_seconds)
        return Receipt(**answer) if "outcome" in answer else Receipt("error", **answer)

    def _measure(self, model: str, output: Path) -> Measured:
        data = self.models
        paths = (self.original(model), output, self.samples(model, "held_out"), data)
        module = "benchmarks.comparison.measuring"
        command = [sys.executable, "-m", module, model, *map(str, paths)]
        answer = _last_line_of(command, output.parent, self._limit_seconds)
        return Measured(**answer) if "loads" in answer else Measured(message=answer["message"])

    def original(self, model: str) -> Path:
        """Return the file of a model as it came."""
        return (self.models / f"{model}.onnx").absolute()

    def samples(self, model: str, part: str) -> Path:
        """Return the file of the calibration or held-out samples, which `scores` makes."""
        path = find_feeds(self._results / "samples", f"{model}.{part}")
        if path is None:
            raise FileNotFoundError(f"no {part} samples of {model}; remove {model}.fp32.json")
        return path.absolute()

    def _make_samples(self, model: str, network: Network) -> None:
        wanted = CALIBRATION_SAMPLES + HELD_OUT_SAMPLES
        feeds = list(TASK_OF_MODEL[model].samples(network, self.models, wanted))
        folder = self._results / "samples"
        save_feeds(feeds[:CALIBRATION_SAMPLES], folder, f"{model}.calibration")
        save_feeds(feeds[CALIBRATION_SAMPLES:], folder, f"{model}.held_out")

    def _result_path(self, model: str, method: Method) -> Path:
        return self._results / f"{model}.{method.name.replace(' ', '_')}.json"


def _read_result(path: Path) -> Result:
    fields = json.loads(path.read_text())
    receipt, measured = Receipt(**fields.pop("receipt")), Measured(**fields.pop("measured"))
    return Result(**fields, receipt=receipt, measured=measured)


def _last_line_of(command: Sequence[str], folder: Path, limit_seconds: float) -> dict[str, Any]:
    """Run a command and return the JSON on its last line, or a code and a message of its end.

    It runs in a folder of its own, as some engines leave files in the current one. Linear algebra
    has one thread, as in the service: more wait for each other, which counts as CPU seconds.
    """
    environment = os.environ | {
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path.cwd()),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own modules
            command,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            check=False,
            env=environment,
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        return {"code": "time_limit", "message": f"stopped after {limit_seconds:.0f} s"}
    if done.returncode != 0:
        message = (done.stderr.strip().splitlines() or [""])[-1][:MESSAGE_LENGTH]
        return {"code": f"exit status {done.returncode}", "message": message}
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
