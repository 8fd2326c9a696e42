"""The figures of a candidate beside its original's: files, weights, speed and memory."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from worker.engine.candidate import Candidate, Written
from worker.engine.datasets.splitting import first
from worker.engine.gates import sqnr_of
from worker.engine.layers import layer_errors
from worker.engine.measures import measure
from worker.engine.original import Original
from worker.engine.performance.comparison import Performance, Subjects, compare_performance
from worker.engine.progress import Progress
from worker.engine.regrets import find_regrets
from worker.engine.report.contents import LayerError, ModelMeasures
from worker.engine.report.timings import Latency

LATENCY_FEEDS = 4


@dataclass(frozen=True)
class Figures:
    """What was measured of both models."""

    before: ModelMeasures
    after: ModelMeasures
    layers: list[LayerError]
    performance: Performance | None
    warnings: list[str]

    @property
    def latency(self) -> Latency | None:
        """Both models' times; None where they were not asked for."""
        return None if self.performance is None else self.performance.latency


def measure_candidate(
    original: Original,
    candidate: Candidate,
    progress: Progress,
    runs: int | None = None,
    seconds_left: Callable[[], float] = lambda: inf,
) -> Figures:
    """Measure both models' files, weights, speed and memory.

    In so many pairs of runs at most, if told; what does not fit the seconds that are left then is
    not measured, beyond that.
    """
    options = original.request.spec.evaluation.latency
    if options is not None and runs is not None:
        options = options.model_copy(update={"runs": min(runs, options.runs or runs)})
    written = candidate.written
    with progress.stage("measuring") as report_progress:
        feeds = [sample.feeds for sample in first(original.samples.evaluation, LATENCY_FEEDS)]
        before, after = original.measures, measures_of(original, written)
        layers = layer_errors(written.prepared.model, written.loaded.model, written.making.tidied)
        performance: Performance | None = None
        if options is not None:
            subjects = Subjects(
                before=original.loaded.path,
                after=written.loaded.path,
                pair=written.pair,
                info=original.info,
                op_counts_after=after.op_counts,
            )
            performance = compare_performance(
                subjects,
                feeds,
                options,
                progress.accounts.memory,
                report_progress,
                seconds_left,
            )
    warnings = [] if performance is None else performance.warnings
    if written.making.passes:
        found = map(sqnr_of, candidate.comparison.fidelity)
        sqnr_db = min((sqnr for sqnr in found if sqnr is not None), default=None)
        warnings = find_regrets(before, after, performance, sqnr_db) + warnings
    elif performance is not None:  # nobody regrets the original, nor is it slower than itself
        performance.latency = performance.latency.of_one_model()
    return Figures(before, after, layers, performance, warnings)


def measures_of(original: Original, written: Written) -> ModelMeasures:
    """Return a result's sizes and contents; those of the original itself are known."""
    if not written.making.passes:
        return original.measures
    return measure(written.loaded.model, written.loaded.files, original.feeds)
