"""Gates: what was measured held against its limit, and the verdict in one sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from worker.engine.report.contents import ModelMeasures
from worker.engine.report.quality import OutputFidelity, Score
from worker.engine.report.timings import Latency
from worker.engine.report.verdict import GateResult, Verdict
from worker.engine.samples import DataOrigin
from worker.engine.spec import Gates

EQUAL_DB = 200.0
"""Stands for the infinite SQNR of equal answers."""


@dataclass(frozen=True)
class Measurements:
    """What gates are held against; `data` is where the evaluation samples come from."""

    before: ModelMeasures
    after: ModelMeasures
    fidelity: Sequence[OutputFidelity]
    accuracy: Sequence[Score]
    latency: Latency | None
    data: DataOrigin

    @property
    def size_ratio(self) -> float:
        """Compressed over original file size."""
        return self.after.size_bytes / self.before.size_bytes

    @property
    def latency_ratio(self) -> float | None:
        """Compressed over original latency."""
        return None if self.latency is None else self.latency.ratio

    @property
    def accuracy_drop(self) -> float | None:
        """The largest loss of a score that is a share or a correlation."""
        drops = [drop for score in self.accuracy if (drop := score.drop) is not None]
        return max(drops, default=None)

    def worst(self, figure: Callable[[OutputFidelity], float | None]) -> float | None:
        """Return the least value of a fidelity figure over the outputs that have it."""
        values = [value for output in self.fidelity if (value := figure(output)) is not None]
        return min(values, default=None)


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
    data = measured.data
    checks = [
        _at_most("max_size_ratio", gates.max_size_ratio, measured.size_ratio, "file"),
        _at_least("min_sqnr_db", gates.min_sqnr_db, measured.worst(sqnr_of), data),
        _at_least("min_cosine", gates.min_cosine, measured.worst(lambda o: o.cosine), data),
        _at_least(
            "min_argmax_agreement",
            gates.min_argmax_agreement,
            measured.worst(lambda output: output.argmax_agreement),
            data,
        ),
        _at_most("max_accuracy_drop", gates.max_accuracy_drop, measured.accuracy_drop, data),
        _at_most("max_latency_ratio", gates.max_latency_ratio, measured.latency_ratio, data),
    ]
    results = [_with_doubt(result, measured) for result in checks if result is not None]
    return Verdict(
        passed=all(result.passed for result in results),
        summary=_summary(results, measured),
        gates=results,
        warnings=warnings,
    )


def _at_most(
    gate: str, limit: float | None, value: float | None, data: DataOrigin | Literal["file"]
) -> GateResult | None:
    if limit is None:
        return None
    return _result(gate, limit, value, data, value is not None and value <= limit)


def _at_least(
    gate: str, limit: float | None, value: float | None, data: DataOrigin
) -> GateResult | None:
    if limit is None:
        return None
    return _result(gate, limit, value, data, value is not None and value >= limit)


def _result(
    gate: str,
    limit: float,
    value: float | None,
    data: DataOrigin | Literal["file"],
    passed: bool,
) -> GateResult:
    if value is None:
        reason = "needs labels" if gate == "max_accuracy_drop" else "was not measured on this model"
        detail = f"{gate} {reason}"
    else:
        detail = f"{value:.4g} is {'within' if passed else 'outside'} the limit of {limit:g}"
    return GateResult(
        gate=gate, limit=limit, measured=value, passed=passed, data=data, detail=detail
    )


def _with_doubt(result: GateResult, measured: Measurements) -> GateResult:
    """Return a gate's result that says where its limit lies within what chance makes of runs."""
    interval = measured.latency and measured.latency.ratio_interval
    if result.gate != "max_latency_ratio" or not interval or not interval.holds(result.limit):
        return result
    doubt = (
        f"; the measurement leaves it open: the {interval.confidence:.0%} confidence interval is"
        f" {interval.low:.4g} to {interval.high:.4g}"
    )
    return result.model_copy(update={"detail": result.detail + doubt})


def _summary(results: Sequence[GateResult], measured: Measurements) -> str:
    missed = [result.gate for result in results if not result.passed]
    if not results:
        opening = "No gates were set"
    elif missed:
        opening = f"Missed {len(missed)} of {len(results)} gates ({', '.join(missed)})"
    else:
        opening = "The only gate holds" if len(results) == 1 else f"All {len(results)} gates hold"
    return f"{opening}: {', '.join(_findings(measured))}."


def _findings(measured: Measurements) -> list[str]:
    findings = [_compared(1 / measured.size_ratio, "smaller", "larger")]
    if measured.latency is not None:
        findings.append(_speed(measured.latency))
    sqnr = measured.worst(sqnr_of)
    if sqnr is not None:
        answers = "equal answers" if sqnr == EQUAL_DB else f"{sqnr:.1f} dB SQNR"
        synthetic = " on synthetic data" if measured.data == "synthetic" else ""
        findings.append(answers + synthetic)
    findings += [
        f"{score.metric} {score.before:.4g} to {score.after:.4g}" for score in measured.accuracy
    ]
    return findings


def _speed(latency: Latency) -> str:
    """Return a speed in words, and no difference where chance may have made it."""
    is_different = latency.is_slower or latency.is_faster
    if not is_different or round(latency.ratio, 2) == 1:
        return "no measurable difference in speed"
    return _compared(1 / latency.ratio, "faster", "slower")


def _compared(factor: float, better: str, worse: str) -> str:
    """Return a factor in words; more than 1 is better."""
    word, factor = (better, factor) if factor >= 1 else (worse, 1 / factor)
    return f"{factor:.2f} times {word}"
