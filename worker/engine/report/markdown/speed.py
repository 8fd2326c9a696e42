"""The parts of the Markdown report about time and memory."""

from collections.abc import Iterator

from worker.engine.report.markdown.text import ABSENT, code, escaped, table
from worker.engine.report.numbers import counted
from worker.engine.report.report import Report
from worker.engine.report.timings import Latency, Loading

MIB = 2**20
OP_TYPES = 12


def speed_sections(report: Report) -> list[str]:
    """Return what was measured of both models' speed; empty texts where nothing was."""
    return [_latency(report), _kernels(report)]


def _latency(report: Report) -> str:
    latency = report.latency
    if latency is None:
        return ""
    rows = [
        [name, f"{before * 1000:.3f}", f"{after * 1000:.3f}"]
        for name, before, after in (
            ("p50, ms", latency.before.p50_seconds, latency.after.p50_seconds),
            ("p90, ms", latency.before.p90_seconds, latency.after.p90_seconds),
            ("p99, ms", latency.before.p99_seconds, latency.after.p99_seconds),
            ("Load, ms", latency.load_seconds_before, latency.load_seconds_after),
        )
    ]
    if report.loading is not None:
        rows += _loading_rows(report.loading)
    pairs = len(latency.after.samples_seconds)
    words = (
        f"{latency.ratio:.3f} times the original's{_interval(latency)}, from"
        f" {counted(pairs, 'pair')} of runs; {counted(latency.threads, 'thread')}, batch"
        f" {latency.batch_size}, {latency.execution_provider}."
    )
    if latency.left_out_rounds:
        words += (
            f" {counted(latency.left_out_rounds, 'round')} of {(pairs + 1) // 2} left out, in"
            " which a run waited for a processor."
        )
    noise = "".join(f"\n- Noisy machine: {escaped(reason)}" for reason in latency.noise)
    rendered = table(["", "Before", "After"], rows)
    return f"## Latency\n\n{words}\n" + (noise + "\n" if noise else "") + "\n" + rendered


def _loading_rows(loading: Loading) -> Iterator[list[str]]:
    sides = (loading.before, loading.after)
    yield ["First run, ms", *(f"{side.run_seconds * 1000:.3f}" for side in sides)]
    yield ["Peak memory, MiB", *(_mebibytes(side.peak_memory_bytes) for side in sides)]
    yield ["Memory held, MiB", *(_mebibytes(side.memory_bytes) for side in sides)]


def _kernels(report: Report) -> str:
    kernels = report.kernels
    if kernels is None:
        return ""
    rows = [
        [
            code(each.op_type),
            f"{each.count_before} / {each.count_after}",
            f"{each.seconds_before * 1000:.3f}",
            f"{each.seconds_after * 1000:.3f}",
        ]
        for each in kernels.op_types[:OP_TYPES]
    ]
    seconds = (kernels.seconds_before, kernels.seconds_after)
    rows.append(["all", "", *(f"{each * 1000:.3f}" for each in seconds)])
    reasons = "".join(f"- Why it is not faster: {escaped(each)}\n" for each in kernels.reasons)
    head = ["Kernel", "Nodes before / after", "Before, ms", "After, ms"]
    words = f"Time of each kind of kernel in one profiled run, the median of {kernels.runs}."
    return f"## Kernels\n\n{words}\n\n" + (reasons and reasons + "\n") + table(head, rows)


def _interval(latency: Latency) -> str:
    interval = latency.ratio_interval
    if interval is None:
        return ""
    return f" ({interval.confidence:.0%} interval {interval.low:.3f} to {interval.high:.3f})"


def spending_section(report: Report) -> str:
    """Return what the service itself spent."""
    spending = report.spending
    if spending is None:
        return ""
    rows = [
        _spending_row(stage.stage, stage.wall_seconds, stage.cpu_seconds, stage.peak_memory_bytes)
        for stage in spending.stages
    ]
    whole = (spending.wall_seconds, spending.cpu_seconds, spending.peak_memory_bytes)
    rows.append(_spending_row("whole job", *whole))
    head = ["Stage", "Wall, s", "Processor, s", "Peak memory, MiB"]
    return "## What the job took\n\n" + table(head, rows)


def _spending_row(name: str, wall: float, cpu: float, peak: int | None) -> list[str]:
    return [name, f"{wall:.2f}", f"{cpu:.2f}", _mebibytes(peak)]


def _mebibytes(size: int | None) -> str:
    return ABSENT if size is None else f"{size / MIB:,.1f}"
