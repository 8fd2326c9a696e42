"""The part of the Markdown report on who cost the answers."""

from worker.engine.report.blame import Blame, BlamedNode
from worker.engine.report.markdown.text import ABSENT, code, escaped, number, table
from worker.engine.report.report import Report

WORST_NODES = 10
EXPLAINED_NODES = 3


def blame_section(report: Report) -> str:
    """Return the worst nodes, why they are, and what mends the result."""
    blame = report.blame
    if blame is None or not blame.nodes:
        return ""
    head = ["Node", "Operator", "By itself, dB", "Answers with it alone", "Answers without it"]
    shown = blame.nodes[:WORST_NODES]
    data = "synthetic" if blame.data == "synthetic" else "held-out"
    words = (
        f"The worst {len(shown)} of {len(blame.nodes)} compressed nodes, on {blame.samples} {data}"
        f" samples, of which the result keeps {blame.sqnr_db:.1f} dB."
    )
    parts = [
        "## Blame",
        words,
        table(head, map(_row, shown)),
        _explanations(shown),
        _curve(blame),
        _repair(blame),
        "\n".join(f"- {escaped(note)}" for note in blame.notes),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(node: BlamedNode) -> list[str]:
    figures = (node.local_sqnr_db, node.alone_sqnr_db, node.restored_sqnr_db)
    return [code(node.node), node.op_type, *(number(each) for each in figures)]


def _explanations(nodes: list[BlamedNode]) -> str:
    explained = [node for node in nodes if node.explanation][:EXPLAINED_NODES]
    return "\n".join(f"- {code(node.node)}: {escaped(node.explanation)}" for node in explained)


def _curve(blame: Blame) -> str:
    rows = [
        [
            str(point.nodes),
            number(point.sqnr_db),
            "the passes" if point.is_rerun else "the result, with nodes exchanged",
            ", ".join(map(code, point.kept)) or ABSENT,
        ]
        for point in blame.curve
    ]
    return table(["Nodes kept", "Fidelity, dB", "Measured on", "More than before"], rows)


def _repair(blame: Blame) -> str:
    if blame.repair is None:
        return ""
    return (
        f"Repair: {escaped(blame.repair.change)}, which gives {blame.repair.sqnr_db:.1f} dB on"
        f" {blame.repair.samples} samples of the evaluation; `blame.repair.spec` of the JSON report"
        " is ready to be submitted."
    )
