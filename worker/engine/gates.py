"""Gates: what was measured held against its limit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isclose
from typing import Literal

from worker.engine.decibels import EQUAL_DB
from worker.engine.measurements import Measurements
from worker.engine.report.numbers import short
from worker.engine.report.paths import read_figures, unit_of
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.report.timings import Latency
from worker.engine.report.verdict import GateResult, Verdict
from worker.engine.samples import DataOrigin
from worker.engine.spec import FigureLimit, Gates
from worker.engine.summary import summarize

Bound = Literal["at_most", "at_least"]
Source = DataOrigin | Literal["file"]
FLOAT_NOISE = 1e-9
FROM_FILES = {"before", "after", "layers", "passes"}
"""The parts of a report whose figures no sample decides."""


@dataclass(frozen=True)
class NamedGate:
    """A gate with a name of its own, and the figure that it limits."""

    name: str
    bound: Bound
    unit: str
    figure: Callable[[Measurements], float | None]
    from_file: bool = False


NAMED_GATES = (
    NamedGate("max_size_ratio", "at_most", "times", lambda m: m.size_ratio, from_file=True),
    NamedGate("min_sqnr_db", "at_least", "dB", lambda m: m.worst(sqnr_of)),
    NamedGate("min_cosine", "at_least", "", lambda m: m.worst(lambda output: output.cosine)),
    NamedGate(
        "min_argmax_agreement",
        "at_least",
        "share",
        lambda m: m.worst(lambda output: output.argmax_agreement),
    ),
    NamedGate("max_accuracy_drop", "at_most", "share", lambda m: m.accuracy_drop),
    NamedGate("max_latency_ratio", "at_most", "times", lambda m: m.latency_ratio),
)


def sqnr_of(output: OutputFidelity) -> float | None:
    """Return the SQNR of an output's worst part, a number also for equal answers.

    None where it has none.
    """
    if output.agreement is not None:
        return None
    parts = [output.sqnr_db, *(group.sqnr_db for group in output.groups)]
    return min(EQUAL_DB if part is None else part for part in parts)


def judge(gates: Gates, measured: Measurements, warnings: list[str]) -> Verdict:
    """Return the verdict: each gate that is set, and one sentence for people."""
    results = [*_named_results(gates, measured)]
    results += [result for limit in gates.limits for result in _limit_results(limit, measured)]
    return Verdict(
        passed=all(result.passed for result in results),
        summary=summarize(results, measured, measured.worst(sqnr_of)),
        gates=results,
        warnings=warnings,
    )


def _named_results(gates: Gates, measured: Measurements) -> Iterator[GateResult]:
    for gate in NAMED_GATES:
        limit: float | None = getattr(gates, gate.name)
        if limit is None:
            continue
        needs = "was not measured"
        if gate.name == "max_accuracy_drop":
            needs = "needs labels, and a metric that is a share or a correlation,"
        result = GateResult(
            gate=gate.name,
            limit=limit,
            measured=gate.figure(measured),
            unit=gate.unit,
            bound=gate.bound,
            passed=False,
            data="file" if gate.from_file else measured.data,
            detail=f"{gate.name} {needs} on this model",
        )
        yield _doubted(_held(result), measured)


def _limit_results(limit: FigureLimit, measured: Measurements) -> Iterator[GateResult]:
    figures = read_figures(measured.parts, limit.figure)
    source: Source = measured.data
    if limit.figure.split(".", 1)[0] in FROM_FILES:
        source = "file"
    bounds: tuple[tuple[Bound, float | None, Callable[[list[float]], float]], ...] = (
        ("at_least", limit.at_least, min),
        ("at_most", limit.at_most, max),
    )
    for bound, value, worst in bounds:
        if value is None:
            continue
        result = GateResult(
            gate=limit.figure,
            limit=value,
            measured=worst(figures) if figures else None,
            unit=unit_of(measured.parts, limit.figure),
            bound=bound,
            passed=False,
            data=source,
            detail=f"{limit.figure} was not measured on this model: the report has no such entry",
        )
        yield _held(result)


def _held(result: GateResult) -> GateResult:
    """Return a result that says whether the limit holds; unmeasured, it is missed."""
    value, limit = result.measured, result.limit
    if value is None:
        return result
    # A drop from 0.96 to 0.95 is 0.01, whatever binary fractions make of the difference.
    passed = isclose(value, limit, rel_tol=FLOAT_NOISE) or (
        value < limit if result.bound == "at_most" else value > limit
    )
    unit = result.unit if result.unit in {"dB", "s", "bytes"} else ""
    detail = f"{_with_unit(value, unit)} is {'within' if passed else 'outside'} the limit of"
    return result.model_copy(
        update={"passed": passed, "detail": f"{detail} {_with_unit(limit, unit)}"}
    )


def _doubted(result: GateResult, measured: Measurements) -> GateResult:
    """Return a result that says where its limit lies within the interval of its figure."""
    doubt = ""
    if result.gate == "max_latency_ratio":
        doubt = _latency_doubt(result.limit, measured.latency)
    elif result.gate == "max_accuracy_drop":
        doubt = _accuracy_doubt(result.limit, measured.worst_score)
    return result.model_copy(update={"detail": result.detail + doubt})


def _latency_doubt(limit: float, latency: Latency | None) -> str:
    if latency is None:
        return ""
    interval = latency.ratio_interval
    busy = "; the machine was busy meanwhile" if latency.noisy else ""
    if interval is None or not interval.holds(limit):
        return busy
    return (
        f"; the measurement leaves it open: the {interval.confidence:.0%} confidence interval is"
        f" {interval.low:.4g} to {interval.high:.4g}{busy}"
    )


def _accuracy_doubt(limit: float, score: Score | None) -> str:
    interval = None if score is None else score.drop_interval
    if score is None or interval is None or not interval.holds(limit):
        return ""
    return (
        f"; the samples leave it open: the drop of {score.name or score.metric} has the 95%"
        f" confidence interval {interval.low:.4g} to {interval.high:.4g}"
    )


def _with_unit(value: float, unit: str) -> str:
    return f"{short(value)} {unit}".rstrip()
