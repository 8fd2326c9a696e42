"""The report as a compact Markdown document, the verdict first."""

from collections.abc import Iterable, Sequence

from worker.engine.report.quality import OutputFidelity
from worker.engine.report.report import Report

WORST_LAYERS = 10
SKIPPED_NODES = 20
ABSENT = "-"
MIB = 2**20


def render_markdown(report: Report) -> str:
    """Return a report as Markdown."""
    sections = [
        _verdict(report),
        _sizes(report),
        _fidelity(report),
        _accuracy(report),
        _latency(report),
        _passes(report),
        _layers(report),
        _skipped(report),
        _manifest(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _verdict(report: Report) -> str:
    verdict = report.verdict
    lines = [f"# {'Passed' if verdict.passed else 'Not passed'}", "", _escaped(verdict.summary)]
    if verdict.gates:
        rows = [
            [
                gate.gate,
                f"{gate.limit:g}",
                _number(gate.measured),
                "holds" if gate.passed else "**missed**",
                gate.data,
            ]
            for gate in verdict.gates
        ]
        lines += ["", _table(["Gate", "Limit", "Measured", "Verdict", "Data"], rows)]
    if verdict.warnings:
        lines += ["", *(f"- Warning: {_escaped(warning)}" for warning in verdict.warnings)]
    return "\n".join(lines)


def _sizes(report: Report) -> str:
    before, after = report.before, report.after
    rows = [
        _sizes_row("File, bytes", before.size_bytes, after.size_bytes),
        _sizes_row("Deflated, bytes", before.deflated_bytes, after.deflated_bytes),
        _sizes_row("Zstandard, bytes", before.zstd_bytes, after.zstd_bytes),
        _sizes_row("Parameters", before.parameter_count, after.parameter_count),
        ["Zeros", f"{before.zero_fraction:.1%}", f"{after.zero_fraction:.1%}", ""],
        _sizes_row("Multiply-accumulates", before.macs, after.macs),
        _sizes_row("Nodes", sum(before.op_counts.values()), sum(after.op_counts.values())),
    ]
    return "## Size\n\n" + _table(["", "Before", "After", "Before / after"], rows)


def _sizes_row(name: str, before: int | None, after: int | None) -> list[str]:
    ratio = f"{before / after:.2f}" if before and after else ""
    return [name, *(ABSENT if value is None else f"{value:,}" for value in (before, after)), ratio]


def _fidelity(report: Report) -> str:
    if not report.fidelity:
        return ""
    first = report.fidelity[0]
    rows = [row for output in report.fidelity for row in _fidelity_rows(output)]
    head = ["Output", "SQNR, dB", "Worst sample, dB", "Cosine", "Max error", "Same argmax", "Equal"]
    data = "synthetic" if first.data == "synthetic" else "held-out"
    return f"## Fidelity\n\nOn {first.samples} {data} samples.\n\n" + _table(head, rows)


def _fidelity_rows(output: OutputFidelity) -> list[list[str]]:
    """Return an output's row and one for each of its channel groups."""
    groups = [
        [
            f"{_code(output.output)} channels {group.channels}",
            "equal" if group.sqnr_db is None else _number(group.sqnr_db),
            *[""] * 5,
        ]
        for group in output.groups
    ]
    return [_fidelity_row(output), *groups]


def _fidelity_row(output: OutputFidelity) -> list[str]:
    is_float = output.agreement is None
    worst = _number(output.worst_sample_sqnr_db) + f" (#{output.worst_sample})"
    return [
        _code(output.output),
        (_number(output.sqnr_db) if output.sqnr_db is not None else "equal") if is_float else "",
        worst if output.worst_sample_sqnr_db is not None else "",
        "" if output.cosine is None else f"{output.cosine:.6f}",
        _number(output.max_abs_error) if is_float else "",
        "" if output.argmax_agreement is None else f"{output.argmax_agreement:.2%}",
        "" if output.agreement is None else f"{output.agreement:.2%}",
    ]


def _accuracy(report: Report) -> str:
    if not report.accuracy:
        return ""
    rows = [
        [
            score.metric,
            _code(score.output),
            str(score.samples),
            f"{score.before:.4f}",
            f"{score.after:.4f}",
        ]
        for score in report.accuracy
    ]
    return "## Accuracy\n\n" + _table(["Metric", "Output", "Samples", "Before", "After"], rows)


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
    words = (
        f"{latency.ratio:.3f} times the original's, the median of"
        f" {len(latency.after.samples_seconds)} pairs; {latency.threads} threads, batch"
        f" {latency.batch_size}, {latency.execution_provider}. Peak memory of the whole job:"
        f" {report.peak_memory_bytes / MIB:,.0f} MiB."
    )
    return f"## Latency\n\n{words}\n\n" + _table(["", "Before", "After"], rows)


def _passes(report: Report) -> str:
    lines = [
        f"{number}. {step.method}: {len(step.changed_nodes)} nodes changed in"
        f" {step.duration_seconds:.2f} s{''.join(f'; {_escaped(note)}' for note in step.notes)}"
        for number, step in enumerate(report.passes, start=1)
    ]
    lines += [f"- Preparation: {_escaped(note)}" for note in report.preparation]
    return "## Passes\n\n" + "\n".join(lines)


def _layers(report: Report) -> str:
    if not report.layers:
        return ""
    rows = [
        [_code(layer.node), layer.op_type, _code(layer.weight), _number(layer.sqnr_db)]
        for layer in report.layers[:WORST_LAYERS]
    ]
    shown = f"The worst {len(rows)} of {len(report.layers)} changed weights."
    return f"## Weights\n\n{shown}\n\n" + _table(["Node", "Operator", "Weight", "SQNR, dB"], rows)


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    rows = [
        [_code(node.node), node.op_type, _escaped(node.reason)]
        for node in report.skipped[:SKIPPED_NODES]
    ]
    more = len(report.skipped) - len(rows)
    rest = f"\n\nAnd {more} more." if more > 0 else ""
    return "## Skipped\n\n" + _table(["Node", "Operator", "Reason"], rows) + rest


def _manifest(report: Report) -> str:
    manifest = report.manifest
    facts = {
        "Model": manifest.model_sha256,
        "Artifact": manifest.artifact_sha256,
        "Spec": manifest.spec_sha256,
        "Calibration data": manifest.calibration_sha256,
        "Evaluation data": manifest.evaluation_sha256,
        "Seed": str(manifest.seed),
        "Versions": ", ".join(f"{name} {number}" for name, number in manifest.versions.items()),
        "Processor": " ".join([manifest.cpu, *manifest.cpu_flags]),
        "Platform": manifest.platform,
        "Execution provider": manifest.execution_provider,
    }
    return "## Manifest\n\n" + _table(
        ["", ""], ([name, _escaped(fact or ABSENT)] for name, fact in facts.items())
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.4g}"


def _code(name: str) -> str:
    """Return a name from a model as code that cannot leave its table cell."""
    clean = name.replace("`", "'").replace("|", "\\|").replace("\n", " ")
    return f"`{clean}`" if clean else ABSENT


def _escaped(text: str) -> str:
    """Return a text with what Markdown and HTML would read as markup made harmless."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
