"""The report's Markdown about how good the answers are: fidelity and labelled scores."""

from worker.engine.report.markdown.text import code, number, table
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
    head = ["Output", "SQNR, dB", "Worst sample, dB", "Cosine", "Max error", "Equal"]
    data = "synthetic" if first.data == "synthetic" else "held-out"
    sections = [f"## Fidelity\n\nOn {first.samples} {data} samples.", table(head, rows)]
    sections += [_decisions(report.fidelity), *map(_worst_sample, report.fidelity)]
    return "\n\n".join(section for section in sections if section)


def _decisions(outputs: list[OutputFidelity]) -> str:
    """Return how far both models decide alike, of the outputs that decide."""
    rows = [
        [
            code(output.output),
            _share(output.argmax_agreement, output.argmax_interval),
            "" if output.flips is None else f"above {output.threshold:g}",
            _share(output.flips, output.flips_interval),
            _share(output.yes_overlap, None),
            "" if output.rank_correlation is None else f"{output.rank_correlation:.4f}",
        ]
        for output in outputs
        if any(
            figure is not None
            for figure in (output.argmax_agreement, output.flips, output.rank_correlation)
        )
    ]
    head = ["Output", "Same argmax", "Yes is", "Flipped", "Overlap of yes", "Rank correlation"]
    return table(head, rows) if rows else ""


def _worst_sample(output: OutputFidelity) -> str:
    """Return the answers to the worst sample side by side."""
    if not output.worst_sample_values:
        return ""
    rows = [
        [", ".join(map(str, value.place)), _shown(value.before), _shown(value.after)]
        for value in output.worst_sample_values
    ]
    title = f"The worst sample of {code(output.output)}, number {output.worst_sample}:"
    return f"{title}\n\n" + table(["Place", "Before", "After"], rows)


def _share(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return ""
    ends = "" if interval is None else f" ({interval.low:.2%} to {interval.high:.2%})"
    return f"{value:.2%}{ends}"


def _shown(value: float | str | None) -> str:
    return code(value) if isinstance(value, str) else number(value)


def _fidelity_rows(output: OutputFidelity) -> list[list[str]]:
    """Return an output's row and one for each of its channel groups."""
    groups = [
        [
            f"{code(output.output)} channels {group.channels}",
            "equal" if group.sqnr_db is None else number(group.sqnr_db),
            *[""] * 4,
        ]
        for group in output.groups
    ]
    return [_fidelity_row(output), *groups]


def _fidelity_row(output: OutputFidelity) -> list[str]:
    is_float = output.agreement is None
    worst = number(output.worst_sample_sqnr_db) + f" (#{output.worst_sample})"
    return [
        code(output.output),
        _decibels(output) if is_float else "",
        worst if output.worst_sample_sqnr_db is not None else "",
        "" if output.cosine is None else f"{output.cosine:.6f}",
        number(output.max_abs_error) if is_float else "",
        "" if output.agreement is None else f"{output.agreement:.2%}",
    ]


def _decibels(output: OutputFidelity) -> str:
    if output.sqnr_db is None:
        return "equal"
    ends = output.sqnr_interval
    return number(output.sqnr_db) + (f" ({ends.low:.1f} to {ends.high:.1f})" if ends else "")


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
