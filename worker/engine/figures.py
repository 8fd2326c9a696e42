"""The figures of a candidate beside its original's: files, weights and latency."""

from dataclasses import dataclass

from worker.engine.candidate import Candidate
from worker.engine.datasets.splitting import first
from worker.engine.layers import layer_errors
from worker.engine.measures import measure
from worker.engine.original import Original
from worker.engine.performance.latency import compare_latency
from worker.engine.progress import Progress
from worker.engine.report.contents import LayerError, ModelMeasures
from worker.engine.report.timings import Latency

LATENCY_FEEDS = 4
SLOWER_RATIO = 1.05
"""Below this, a difference in latency is not worth a warning."""


@dataclass(frozen=True)
class Figures:
    """What was measured of both models."""

    before: ModelMeasures
    after: ModelMeasures
    layers: list[LayerError]
    latency: Latency | None
    warnings: list[str]


def measure_candidate(original: Original, candidate: Candidate, progress: Progress) -> Figures:
    """Measure both models' files, weights and latency."""
    options = original.request.spec.evaluation.latency
    written = candidate.written
    with progress.stage("measuring") as report_progress:
        feeds = [sample.feeds for sample in first(original.samples.evaluation, LATENCY_FEEDS)]
        before = measure(original.loaded.model, original.loaded.files, feeds[0])
        after = measure(written.loaded.model, written.loaded.files, feeds[0])
        layers = layer_errors(written.prepared.model, written.loaded.model, written.tidied)
        latency: Latency | None = None
        warnings: list[str] = []
        if options is not None:
            latency, warnings = compare_latency(
                written.pair, feeds, original.info.inputs, options, report_progress
            )
    return Figures(before, after, layers, latency, warnings + _regrets(before, after, latency))


def _regrets(before: ModelMeasures, after: ModelMeasures, latency: Latency | None) -> list[str]:
    """Return warnings about a result that is larger or slower than the original."""
    regrets = []
    if after.size_bytes >= before.size_bytes:
        regrets.append(
            f"the compressed model is not smaller: {after.size_bytes} bytes instead of"
            f" {before.size_bytes}"
        )
    if latency is not None and latency.is_slower and latency.ratio > SLOWER_RATIO:
        regrets.append(
            f"the compressed model is slower: {latency.ratio:.2f} times the original's latency on"
            " this processor"
        )
    return regrets
