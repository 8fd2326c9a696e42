"""The results as Markdown: a line for each method over all models, then each model's table."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.comparison.methods import OWN_PLAIN_STATIC, OWN_STATIC, PEER_STATIC
from benchmarks.comparison.runs import Result
from benchmarks.tasks.base import Scores
from benchmarks.tasks.catalogue import TASK_OF_MODEL

COMMAND = "python -m benchmarks.engines --write docs/benchmarks.md"
EQUAL_LOSS = 0.01
RUIN_LOSS = 0.1
NOT_SLOWER = 1.05
FAST = 1 / 1.5
MEBIBYTE = 2**20
MESSAGE_LENGTH = 160
SUMMARY_HEAD = (
    "Method", "Triple wins at 3x", "at 6x", "Faster by 1.5x", "Ruined", "Does not load",
    "Refused", "Errors", "Models",
)  # fmt: skip
MODEL_HEAD = (
    "Method", "Smaller", "Task score", "Worst output, dB", "Latency", "Seconds", "CPU s", "Peak MB",
    "Outcome",
)  # fmt: skip

FP32Scores = dict[str, Scores]


def render(results: Sequence[Result], scores: FP32Scores, machine: str) -> str:
    """Return the whole page."""
    sections = [
        "# Benchmarks",
        f"`{COMMAND}` makes this page. Measured on: {machine}",
        _legend(),
        "## Summary",
        _summary(results, scores),
        *_cpu_comparison(results),
        *(_model_section(model, results, scores[model]) for model in scores),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _legend() -> str:
    overlapping = ", ".join(n for n, task in TASK_OF_MODEL.items() if task.samples_are_scored)
    return (
        "A *triple win* is a file at least so many times smaller, every judged score of the task"
        f" within {EQUAL_LOSS} of fp32's, and a latency of at most {NOT_SLOWER} times fp32's."
        f" *Faster* is 1.5 times at scores as good. *Ruined* is a result, given back as a success,"
        f" whose score is worse by more than {RUIN_LOSS}. *Refused* is an error with a code that"
        " says what to change; *errors* are other exceptions, crashes and time limits. Latency is"
        " compressed over original: one thread, runs in turn, the median of pairs and of five"
        " pairs of sessions, as one of a model may be faster than the next. Decibels are of"
        " the worst output on 16 held-out samples. Calibration is on 64 real samples, none of them"
        f" scored but for {overlapping}, whose task has no others. Seconds are of the whole"
        " call, for onnxpress with the proof of the result; every run is a fresh process."
    )


def _summary(results: Sequence[Result], scores: FP32Scores) -> str:
    methods = dict.fromkeys(result.method for result in results)
    rows = []
    for method in methods:
        own = [result for result in results if result.method == method]
        equal = [r for r in own if r.measured.runs and _loss(r, scores) <= EQUAL_LOSS]
        wins = [_times_smaller(r) for r in equal if (r.measured.latency_ratio or 0) <= NOT_SLOWER]
        written = [r for r in own if r.receipt.outcome == "compressed"]
        counts = (
            sum(times >= 3 for times in wins),
            sum(times >= 6 for times in wins),
            sum((r.measured.latency_ratio or 1) <= FAST for r in equal),
            sum(r.measured.runs and _loss(r, scores) > RUIN_LOSS for r in written),
            sum(not r.measured.runs for r in written),
            sum(r.receipt.outcome == "refused" for r in own),
            sum(r.receipt.outcome == "error" for r in own),
            len(own),
        )
        rows.append([method, *map(str, counts)])
    return _table(SUMMARY_HEAD, rows)


def _cpu_comparison(results: Sequence[Result]) -> list[str]:
    """Return what static quantization costs against onnxruntime, where both wrote a file."""
    seconds = {
        (r.model, r.method): r.receipt.cpu_seconds
        for r in results
        if r.receipt.outcome == "compressed"
    }
    of_defaults = _ratios(seconds, OWN_STATIC)
    plain = _ratios(seconds, OWN_PLAIN_STATIC)
    if not of_defaults or not plain:
        return []
    sentence = (
        f"Static quantization takes onnxpress {_mean(of_defaults):.2f} times the CPU seconds of"
        " onnxruntime's pre-processing and quantization at its defaults, which look for what is"
        f" fast and exact enough, and {_mean(plain):.2f} times for the same work as onnxruntime's,"
        " min-max ranges and all nodes in integers (geometric means over"
        f" {len(of_defaults)} and {len(plain)} models), the proof of its result included."
    )
    return [sentence]


def _ratios(seconds: Mapping[tuple[str, str], float], method: str) -> list[float]:
    """Return the CPU seconds of a method over those of onnxruntime, where both wrote a file."""
    return [
        spent / seconds[model, PEER_STATIC]
        for (model, name), spent in seconds.items()
        if name == method and (model, PEER_STATIC) in seconds
    ]


def _mean(ratios: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def _model_section(model: str, results: Sequence[Result], scores: Scores) -> str:
    own = [result for result in results if result.model == model]
    if not own:
        return ""
    judged = TASK_OF_MODEL[model].judged
    original = ", ".join(f"{name} {scores[name]:.4f}" for name in judged)
    title = f"## {model}\n\nfp32: {own[0].size_before / 1e6:.2f} MB, {original}."
    return title + "\n\n" + _table(MODEL_HEAD, [_row(result, scores) for result in own])


def _row(result: Result, scores: Scores) -> list[str]:
    measured, receipt = result.measured, result.receipt
    cost = [
        f"{receipt.wall_seconds:.1f}",
        f"{receipt.cpu_seconds:.1f}",
        f"{receipt.peak_memory_bytes / MEBIBYTE:.0f}",
    ]
    if not measured.runs:
        smaller = f"{_times_smaller(result):.2f}x" if result.size_after else ""
        return [result.method, smaller, "", "", "", *cost, _failure(result)]
    loss = TASK_OF_MODEL[result.model].loss(scores, measured.scores)
    judged = TASK_OF_MODEL[result.model].judged
    return [
        result.method,
        f"{_times_smaller(result):.2f}x",
        ", ".join(f"{measured.scores[name]:.4f}" for name in judged),
        "equal" if measured.sqnr_db is None else f"{measured.sqnr_db:.1f}",
        f"{measured.latency_ratio:.2f}",
        *cost,
        "**ruined**" if loss > RUIN_LOSS else _shortened(receipt.message),
    ]


def _failure(result: Result) -> str:
    measured, receipt = result.measured, result.receipt
    if receipt.outcome == "compressed":
        kind = "does not run" if measured.loads else "does not load"
        return f"**{kind}**: {_shortened(measured.message)}"
    return f"{receipt.outcome}, `{receipt.code}`: {_shortened(receipt.message)}"


def _shortened(message: str) -> str:
    """Return the part of a message that fits a cell, without the paths of one machine."""
    text = re.sub(r"/\S*/(\S+)", r"\1", message)
    return text if len(text) <= MESSAGE_LENGTH else text[:MESSAGE_LENGTH].rstrip() + "..."


def _times_smaller(result: Result) -> float:
    return result.size_before / result.size_after if result.size_after else 0.0


def _loss(result: Result, scores: FP32Scores) -> float:
    return TASK_OF_MODEL[result.model].loss(scores[result.model], result.measured.scores)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
