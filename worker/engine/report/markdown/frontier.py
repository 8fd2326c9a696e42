"""The part of the Markdown report about what a search tried."""

from worker.engine.report.frontier import FrontierPoint
from worker.engine.report.markdown.text import ABSENT, escaped, number, table
from worker.engine.report.report import Report

HEAD = ["", "Candidate", "Times smaller", "Latency", "Worst dB", "Scores", "Pareto", "Why not"]


def frontier_section(report: Report) -> str:
    """Return the table of a search's points, empty for a job without a goal."""
    frontier = report.frontier
    if frontier is None:
        return ""
    rows = [_row(point) for point in frontier.points]
    words = (
        f"Minimize {frontier.goal.minimize}. {escaped(frontier.conclusion)} The search ended with"
        f" {frontier.ended} after {frontier.spent_seconds:.1f} of"
        f" {frontier.goal.budget_seconds:g} s."
    )
    return f"## Frontier\n\n{words}\n\n" + table(HEAD, rows)


def _row(point: FrontierPoint) -> list[str]:
    scores = [f"{escaped(score.name or score.metric)} {score.after:.4f}" for score in point.scores]
    return [
        f"**{point.role.replace('_', ' ')}**" if point.role else "",
        escaped(point.name),
        f"{1 / point.size_ratio:.2f}" if point.size_ratio else ABSENT,
        number(point.latency_ratio),
        number(point.worst_sqnr_db),
        ", ".join(scores) or ABSENT,
        "yes" if point.is_pareto_optimal else "",
        escaped(point.why_not),
    ]
