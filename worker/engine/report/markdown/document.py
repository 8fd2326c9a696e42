"""The report as a compact Markdown document, the verdict first."""

from worker.engine.report.contents import ABOUT_BIASES
from worker.engine.report.markdown.blame import blame_section
from worker.engine.report.markdown.frontier import frontier_section
from worker.engine.report.markdown.quality import quality_sections
from worker.engine.report.markdown.speed import speed_sections, spending_section
from worker.engine.report.markdown.text import ABSENT, code, escaped, number, table
from worker.engine.report.report import Report

WORST_LAYERS = 10
SKIPPED_NODES = 20


def render_markdown(report: Report) -> str:
    """Return a report as Markdown."""
    sections = [
        _verdict(report),
        frontier_section(report),
        _sizes(report),
        *quality_sections(report),
        *speed_sections(report),
        _passes(report),
        _layers(report),
        blame_section(report),
        _skipped(report),
        spending_section(report),
        _manifest(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _verdict(report: Report) -> str:
    verdict = report.verdict
    lines = [f"# {'Passed' if verdict.passed else 'Not passed'}", "", escaped(verdict.summary)]
    if verdict.gates:
        rows = [
            [
                code(gate.gate),
                f"{(gate.bound or '').replace('_', ' ')} {number(gate.limit)}".strip(),
                number(gate.measured),
                gate.unit,
                "holds" if gate.passed else "**missed**",
                gate.data,
            ]
            for gate in verdict.gates
        ]
        lines += ["", table(["Gate", "Limit", "Measured", "Unit", "Verdict", "Data"], rows)]
    if verdict.warnings:
        lines += ["", *(f"- Warning: {escaped(warning)}" for warning in verdict.warnings)]
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
    return "## Size\n\n" + table(["", "Before", "After", "Before / after"], rows)


def _sizes_row(name: str, before: int | None, after: int | None) -> list[str]:
    ratio = f"{before / after:.2f}" if before and after else ""
    return [name, *(ABSENT if value is None else f"{value:,}" for value in (before, after)), ratio]


def _passes(report: Report) -> str:
    lines = [
        f"{number}. {step.method}: {len(step.changed_nodes)} nodes changed in"
        f" {step.duration_seconds:.2f} s{''.join(f'; {escaped(note)}' for note in step.notes)}"
        for number, step in enumerate(report.passes, start=1)
    ]
    lines += [f"- Preparation: {escaped(note)}" for note in report.preparation]
    return "## Passes\n\n" + "\n".join(lines)


def _layers(report: Report) -> str:
    if not report.layers:
        return ""
    rows = [
        [code(layer.node), layer.op_type, code(layer.weight), number(layer.sqnr_db)]
        for layer in report.layers[:WORST_LAYERS]
    ]
    shown = f"The worst {len(rows)} of {len(report.layers)} changed weights. {ABOUT_BIASES}"
    return f"## Weights\n\n{shown}\n\n" + table(["Node", "Operator", "Weight", "SQNR, dB"], rows)


def _skipped(report: Report) -> str:
    if not report.skipped:
        return ""
    rows = [
        [code(node.node), node.op_type, escaped(node.reason)]
        for node in report.skipped[:SKIPPED_NODES]
    ]
    more = len(report.skipped) - len(rows)
    rest = f"\n\nAnd {more} more." if more > 0 else ""
    return "## Skipped\n\n" + table(["Node", "Operator", "Reason"], rows) + rest


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
    return "## Manifest\n\n" + table(
        ["", ""], ([name, escaped(fact or ABSENT)] for name, fact in facts.items())
    )
