"""The verdict in one sentence for people."""

from collections.abc import Sequence

from worker.engine.decibels import EQUAL_DB
from worker.engine.measurements import Measurements
from worker.engine.report.quality import Score
from worker.engine.report.timings import Latency
from worker.engine.report.verdict import GateResult


def summarize(results: Sequence[GateResult], measured: Measurements, sqnr: float | None) -> str:
    """Return whether the gates hold, and what was found; `sqnr` is that of the worst output."""
    missed = [result.gate for result in results if not result.passed]
    if not results:
        opening = "No gates were set"
    elif missed:
        opening = f"Missed {len(missed)} of {len(results)} gates ({', '.join(missed)})"
    else:
        opening = "The only gate holds" if len(results) == 1 else f"All {len(results)} gates hold"
    return f"{opening}: {', '.join(_findings(measured, sqnr))}."


def score_words(score: Score) -> str:
    """Return both models' scores and, where they differ, what chance alone might make of it."""
    words = f"{score.name or score.metric} {score.before:.4g} to {score.after:.4g}"
    interval = score.difference_interval
    if interval is None or score.difference == 0:
        return words
    scale = 100 if score.unit == "share" else 1
    unit = " points" if score.unit == "share" else ""
    change = _change(score)
    size = f"{abs(score.difference) * scale:.2g}{unit}"
    ends = f"{interval.low * scale:+.2g} to {interval.high * scale:+.2g}{unit}"
    if score.is_within_chance:
        return f"{words} (the {change} of {size} is within its interval, {ends})"
    return f"{words} (a {change} of {size}, interval {ends})"


def _change(score: Score) -> str:
    if score.difference > 0:
        return "gain" if score.larger_is_better else "rise"
    return "drop" if score.larger_is_better else "fall"


def _findings(measured: Measurements, sqnr: float | None) -> list[str]:
    findings = [_compared(1 / measured.size_ratio, "smaller", "larger")]
    if measured.latency is not None:
        findings.append(_speed(measured.latency))
    if sqnr is not None:
        answers = "equal answers" if sqnr == EQUAL_DB else f"{sqnr:.1f} dB SQNR"
        synthetic = " on synthetic data" if measured.data == "synthetic" else ""
        findings.append(answers + synthetic)
    return findings + [score_words(score) for score in measured.accuracy]


def _speed(latency: Latency) -> str:
    """Return a speed in words, and no difference where chance may have made it."""
    if not latency.is_slower and not latency.is_faster:
        return "no measurable difference in speed"
    return _compared(1 / latency.ratio, "faster", "slower")


def _compared(factor: float, better: str, worse: str) -> str:
    """Return a factor in words; more than 1 is better."""
    word, factor = (better, factor) if factor >= 1 else (worse, 1 / factor)
    return f"{factor:.2f} times {word}"
