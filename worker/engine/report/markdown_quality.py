"""The report's Markdown about how good the answers are: fidelity and labelled scores."""

from worker.engine.report.markdown_text import code, number, table
from worker.engine.report.quality import Interval, OutputFidelity, Score
from worker.engine.report.report import Report


def quality_sections(report: Report) -> list[str]:
    """Return the sections about the answers, empty where there is nothing to say."""
    return [_fidelity(report), _accuracy(report)]


def _fidelity(report: Report) -> str:
    if not report.fidelity:
        return ""
    first = report.fidelity[0]
    rows = [row for output in report.fidelity for row in _fidelity_rows(output)]
    head = ["Output", "SQNR, dB", "Worst sample, dB", "Cosine", "Max error", "Same argmax", "Equal"]
    data = "synthetic" if first.data == "synthetic" else "held-out"
    return f"## Fidelity\n\nOn {first.samples} {data} samples.\n\n" + table(head, rows)


def _fidelity_rows(output: OutputFidelity) -> list[list[str]]:
    """Return an output's row and one for each of its channel groups."""
    groups = [
        [
            f"{code(output.output)} channels {group.channels}",
            "equal" if group.sqnr_db is None else number(group.sqnr_db),
            *[""] * 5,
        ]
        for group in output.groups
    ]
    return [_fidelity_row(output), *groups]


def _fidelity_row(output: OutputFidelity) -> list[str]:
    is_float = output.agreement is None
    worst = number(output.worst_sample_sqnr_db) + f" (#{output.worst_sample})"
    return [
        code(output.output),
        (number(output.sqnr_db) if output.sqnr_db is not None else "equal") if is_float else "",
        worst if output.worst_sample_sqnr_db is not None else "",
        "" if output.cosine is None else f"{output.cosine:.6f}",
        number(output.max_abs_error) if is_float else "",
        "" if output.argmax_agreement is None else f"{output.argmax_agreement:.2%}",
        "" if output.agreement is None else f"{output.agreement:.2%}",
    ]


def _accuracy(report: Report) -> str:
    if not report.accuracy:
        return ""
    head = ["Metric", "Output", "Samples", "Before", "After", "Difference", "Verdict"]
    words = "In brackets, 95% intervals over draws of samples like these (bootstrap)."
    rows = [_score_row(score) for score in report.accuracy]
    return f"## Accuracy\n\n{words}\n\n" + table(head, rows)


def _score_row(score: Score) -> list[str]:
    verdict = "beyond chance"
    if score.is_within_chance:
        verdict = "within chance" if score.difference else "equal"
    return [
        code(score.name) if score.name not in {"", score.metric} else score.metric,
        code(score.output),
        str(score.samples),
        f"{score.before:.4f}{_ends(score.before_interval)}",
        f"{score.after:.4f}{_ends(score.after_interval)}",
        f"{score.difference:+.4f}{_ends(score.difference_interval)}",
        "" if score.difference_interval is None else verdict,
    ]


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f" ({interval.low:.4f} to {interval.high:.4f})"
