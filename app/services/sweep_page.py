"""A sweep as a Markdown page: the best job, and a table to compare them all."""

import json

from app.services.comparing import SUPERLATIVES, Figures, Quality
from app.services.sweeps import SweepView
from app.tables import JobRow
from worker.engine.report.markdown.text import ABSENT, code, escaped, table

_LONGEST_VALUE = 60
_QUALITY_HEADS: dict[Quality, str] = {
    "accuracy_drop": "Accuracy drop",
    "min_sqnr_db": "Worst SQNR, dB",
    "min_agreement": "Agreement",
}


def render_sweep(view: SweepView) -> str:
    """Return the page; jobs on the Pareto front carry a mark, the best is in bold."""
    standing = view.standing
    state = standing.state.replace("_", " ").capitalize()
    ended = sum(job.finished_at is not None for job in view.jobs)
    lines = [
        f"# Sweep {standing.row.id}",
        f"{state}: {ended} of {len(view.jobs)} jobs have ended. Model {standing.row.model_id}.",
        *_best(view),
        _results(view),
        _legend(view),
        *_problems(view),
    ]
    return "\n\n".join(lines) + "\n"


def _best(view: SweepView) -> list[str]:
    best = view.comparison.best
    if best is None or view.best_by is None:
        return []
    wish = f"Best ({SUPERLATIVES[view.best_by.minimize]})"
    name = "none" if best.job_id is None else best.job_id
    return [f"{wish}: **{name}**, {escaped(best.reason)}."]


def _results(view: SweepView) -> str:
    metrics = _metrics(view)
    heads = ["", "Spec", "State", "Size", "Latency", *metrics, *_QUALITY_HEADS.values(), "Gates"]
    rows = [_row(view, job, metrics) for job in view.jobs]
    used = [index for index, _ in enumerate(heads) if index < 3 or any(row[index] for row in rows)]
    return table(
        [heads[index] for index in used],
        ([row[index] or ABSENT for index in used] for row in rows),
    )


def _row(view: SweepView, job: JobRow, metrics: list[str]) -> list[str]:
    comparison = view.comparison
    mark = "\u25cf" if job.id in comparison.front else " "
    spec = _difference(view.standing.row.differences[job.sweep_position or 0])
    if comparison.best is not None and comparison.best.job_id == job.id:
        spec = f"**{spec}**"
    figures = comparison.figures.get(job.id)
    cells = [""] * (len(metrics) + 6) if figures is None else _cells(job, figures, metrics)
    return [mark, spec, job.state, *cells]


def _cells(job: JobRow, figures: Figures, metrics: list[str]) -> list[str]:
    scores = {escaped(score["metric"]): score for score in reversed(figures.scores)}
    changes = [
        f"{scores[name]['before']:.4g} to {scores[name]['after']:.4g}" if name in scores else ""
        for name in metrics
    ]
    gates = (job.verdict or {"gates": []})["gates"]
    kept = sum(gate["passed"] for gate in gates)
    return [
        f"{figures.size_bytes:,} B, {figures.size_ratio:.1%}",
        "" if figures.latency_ratio is None else f"{figures.latency_ratio:.2f}",
        *changes,
        "" if figures.accuracy_drop is None else f"{figures.accuracy_drop:+.4f}",
        "" if figures.min_sqnr_db is None else f"{figures.min_sqnr_db:.1f}",
        "" if figures.min_agreement is None else f"{figures.min_agreement:.2%}",
        f"{kept} of {len(gates)} hold" if gates else "",
    ]


def _metrics(view: SweepView) -> list[str]:
    found = view.comparison.figures.values()
    return list(dict.fromkeys(escaped(it["metric"]) for one in found for it in one.scores))


def _difference(values: dict[str, object]) -> str:
    """Return a job's own values; long ones, such as lists of nodes, are cut."""
    if not values:
        return "as given"
    texts = (f"{pointer} = {_cut(json.dumps(value))}" for pointer, value in values.items())
    return "<br>".join(code(text) for text in texts)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _legend(view: SweepView) -> str:
    words = "Size and latency are the compressed model's, over the original's."
    quality = view.comparison.quality
    axes = "size and latency"
    if quality is not None:
        axes = f"size, latency and {_QUALITY_HEADS[quality].partition(',')[0].lower()}"
    synthetic = any(it.data == "synthetic" for it in view.comparison.figures.values())
    note = " Inputs were synthetic: figures of answers say little." if synthetic else ""
    return f"\u25cf: no other job is better in {axes} at once. {words}{note}"


def _problems(view: SweepView) -> list[str]:
    failed = [job for job in view.jobs if job.state == "failed" and job.error]
    if not failed:
        return []
    lines = [f"- {job.id}: {escaped((job.error or {})['detail'])}" for job in failed]
    return ["## Failed", "\n".join(lines)]
