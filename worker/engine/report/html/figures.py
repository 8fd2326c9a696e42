"""The charts of a report, each made from the figures it shows; None where there are none."""

from collections import Counter
from collections.abc import Iterator

from markupsafe import Markup

from worker.engine.report.blame import Blame, ValuePicture
from worker.engine.report.frontier import Frontier
from worker.engine.report.html.charts import Axis, Bar, Point, bars, histogram, line, scatter
from worker.engine.report.html.words import bytes_text, decibels, number, seconds_text
from worker.engine.report.kernels import KernelProfile
from worker.engine.report.quality import Score
from worker.engine.report.report import Report
from worker.engine.report.timings import Latency, Loading
from worker.engine.spec import Spec

LAYERS = 25
OP_TYPES = 12


def sizes(report: Report) -> Markup:
    """Return the sizes of both models as they are stored and sent."""
    rows = []
    for label, before, after in (
        ("file", report.before.size_bytes, report.after.size_bytes),
        ("deflated (zip)", report.before.deflated_bytes, report.after.deflated_bytes),
        ("Zstandard", report.before.zstd_bytes, report.after.zstd_bytes),
    ):
        rows.append(Bar(f"{label}, before", before, bytes_text(before), "before"))
        rows.append(Bar(f"{label}, after", after, bytes_text(after)))
    return bars(rows, "sizes before and after")


def scores(report: Report) -> Markup | None:
    """Return the labelled scores of both models."""
    rows = []
    for score in report.accuracy:
        for series, value, interval in (
            ("before", score.before, score.before_interval),
            ("after", score.after, score.after_interval),
        ):
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            label = f"{score.name or score.metric}, {series}"
            rows.append(Bar(label, value, f"{value:.4g}", series, low, high))
    return bars(rows, "scores before and after") if rows else None


def latencies(latency: Latency | None) -> Markup | None:
    """Return the latencies of both models at three percentiles."""
    if latency is None:
        return None
    rows = []
    for name in ("p50", "p90", "p99"):
        for series, samples in (("before", latency.before), ("after", latency.after)):
            seconds = getattr(samples, f"{name}_seconds")
            rows.append(Bar(f"{name}, {series}", seconds, seconds_text(seconds), series))
    return bars(rows, "latency before and after")


def latency_runs(latency: Latency | None) -> Markup | None:
    """Return every timed run of both models in the order they ran."""
    if latency is None:
        return None
    points = [
        Point(index + 1, seconds * 1000, f"run {index + 1}, {series}: {seconds * 1000:.4g} ms",
              series)
        for series, samples in (("before", latency.before), ("after", latency.after))
        for index, seconds in enumerate(samples.samples_seconds)
    ]  # fmt: skip
    axes = (
        Axis.around("run", [point.x for point in points]),
        Axis.around("milliseconds", [point.y for point in points]),
    )
    return scatter(points, axes, "every timed run")


def loading_rows(loading: Loading) -> Iterator[tuple[str, str, str]]:
    """Yield what loading takes, before and after."""
    before, after = loading.before, loading.after
    yield "Load", seconds_text(before.load_seconds), seconds_text(after.load_seconds)
    yield "First run", seconds_text(before.run_seconds), seconds_text(after.run_seconds)
    for name, size, other in (
        ("Peak memory", before.peak_memory_bytes, after.peak_memory_bytes),
        ("Memory held", before.memory_bytes, after.memory_bytes),
    ):
        yield name, _bytes_or_dash(size), _bytes_or_dash(other)


def _bytes_or_dash(size: int | None) -> str:
    return "-" if size is None else bytes_text(size)


def kernels(profile: KernelProfile) -> Markup:
    """Return the time of each kind of kernel in both models."""
    rows = []
    for each in profile.op_types[:OP_TYPES]:
        for series, count, seconds in (
            ("before", each.count_before, each.seconds_before),
            ("after", each.count_after, each.seconds_after),
        ):
            name = f"{each.op_type} ({count}), {series}"
            rows.append(Bar(name, seconds, seconds_text(seconds), series))
    return bars(rows, "time of each kind of kernel")


def layers(report: Report) -> Markup | None:
    """Return the noise that each of the worst weights got, as SQNR in decibels."""
    worst = [layer for layer in report.layers if layer.sqnr_db is not None][:LAYERS]
    of_node = Counter(layer.node for layer in worst)
    rows = [
        Bar(
            f"{layer.node}, {layer.weight}" if of_node[layer.node] > 1 else layer.node,
            max(0.0, layer.sqnr_db or 0.0),
            f"{layer.sqnr_db:.1f} dB",
        )
        for layer in worst
    ]
    return bars(rows, "the worst weights") if rows else None


def chance(score: Score) -> str:
    """Return what the interval of a score's difference says of it."""
    if score.difference_interval is None:
        return ""
    if score.is_within_chance:
        return "within chance" if score.difference else "equal"
    return "beyond chance"


def blamed(blame: Blame) -> Markup:
    """Return the fidelity that each of the worst nodes leaves when it alone is compressed."""
    known = [node for node in blame.nodes if node.alone_sqnr_db is not None]
    return bars(
        [
            Bar(node.node, max(0.0, node.alone_sqnr_db or 0.0), decibels(node.alone_sqnr_db))
            for node in known[:LAYERS]
        ],
        "the worst nodes",
    )


def values(picture: ValuePicture) -> Markup:
    """Return how values lie, and the range that integers give them."""
    low, high = picture.range_lowest, picture.range_highest
    chosen = None if low is None or high is None else (low, high)
    return histogram(picture.counts, (picture.lowest, picture.highest), chosen)


def curve(blame: Blame) -> Markup:
    """Return the fidelity against the number of nodes that are spared."""
    exchanged, rerun = (
        [
            Point(each.nodes, each.sqnr_db, f"{each.nodes} nodes: {each.sqnr_db:.1f} dB", series)
            for each in blame.curve
            if each.is_rerun == is_rerun
        ]
        for is_rerun, series in ((False, "after"), (True, "good"))
    )
    axes = (
        Axis.around("nodes kept", [point.x for point in [*exchanged, *rerun]]),
        Axis.around("decibels", [point.y for point in [*exchanged, *rerun]]),
    )
    return line(exchanged, axes, "fidelity against the number of nodes kept", apart=rerun)


def frontier(searched: Frontier) -> Markup:
    """Return what a search measured: what it was to win against how close, one point each.

    Equal answers are drawn at the top.
    """
    is_for_speed = searched.goal.minimize == "latency"
    measured = [point for point in searched.points if point.size_ratio]
    highest = max([point.worst_sqnr_db or 0.0 for point in measured], default=0.0)
    points = [
        Point(
            1 / ((point.latency_ratio if is_for_speed else point.size_ratio) or 1.0),
            highest if point.worst_sqnr_db is None else point.worst_sqnr_db,
            f"{point.name}: size {number(point.size_ratio)}, latency {number(point.latency_ratio)}",
            "good" if point.meets_goal else "bad",
            (point.role or ("" if point.spec else "original")).replace("_", " "),
        )
        for point in measured
    ]
    axes = (
        Axis.around("times as fast" if is_for_speed else "times smaller", [p.x for p in points]),
        Axis.around("decibels of the worst output", [p.y for p in points]),
    )
    return scatter(points, axes, "what the search measured")


def spec_text(spec: Spec) -> str:
    """Return a spec as it may be submitted."""
    return spec.model_dump_json(indent=2)


def stages(report: Report) -> Markup:
    """Return the seconds of each stage of the job."""
    rows = [
        Bar(stage, seconds, seconds_text(seconds))
        for stage, seconds in report.durations_seconds.items()
    ]
    return bars(rows, "seconds of each stage")


def operators(report: Report) -> Iterator[tuple[str, int, int]]:
    """Yield operator counts before and after, the commonest first."""
    before, after = report.before.op_counts, report.after.op_counts
    totals = {name: before.get(name, 0) + after.get(name, 0) for name in {**before, **after}}
    for name in sorted(totals, key=lambda name: (-totals[name], name)):
        yield name, before.get(name, 0), after.get(name, 0)
