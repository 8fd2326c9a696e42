"""Timing a compressed model against onnxruntime's own recipes, in turn in one process."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.machine import has_exact_int8_products
from benchmarks.comparison.measuring import latency_ratio
from benchmarks.comparison.methods import onnxruntime_methods
from benchmarks.comparison.runs import Bench
from benchmarks.comparison.samples import read_feeds
from benchmarks.tasks.base import Network
from benchmarks.tasks.catalogue import TASK_OF_MODEL


@dataclass(frozen=True)
class Rival:
    """A recipe whose file scores as the original does."""

    method: str
    latency_ratio: float
    """Of the model that is compared, over the recipe's."""


def fastest_rival(bench: Bench, model: str, compressed: Path, loss: float) -> Rival | None:
    """Return the recipe that comes nearest to a model's speed, or is beyond it.

    Only files count whose judged scores are within `loss` of the original's.
    """
    rivals = _rivals(bench, model, compressed, loss)
    return max(rivals, key=lambda rival: rival.latency_ratio, default=None)


def _rivals(bench: Bench, model: str, compressed: Path, loss: float) -> Iterator[Rival]:
    task, scores = TASK_OF_MODEL[model], bench.scores(model)
    feeds = list(read_feeds(bench.samples(model, "held_out")))
    for method in onnxruntime_methods(reduce_range=not has_exact_int8_products()):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "compressed.onnx"
            if bench.compress(model, method, output).outcome != "compressed":
                continue
            try:
                is_equal = task.loss(scores, task.score(Network(output), bench.models)) <= loss
            except Exception:  # noqa: BLE001, S112 - a file that does not load is no rival
                continue
            if is_equal:
                yield Rival(method.name, latency_ratio(output, compressed, feeds))
