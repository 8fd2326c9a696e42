"""The report as a page: one file, its style and charts inside, that asks no network for more."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from worker.engine.report.contents import ABOUT_BIASES
from worker.engine.report.html import figures, words
from worker.engine.report.report import Report

SKIPPED_NODES = 200
BLAMED_NODES = 15

_ENVIRONMENT = Environment(
    loader=PackageLoader("worker.engine.report.html", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "bytes": words.bytes_text,
    "seconds": words.seconds_text,
    "number": words.number,
    "percent": words.percent,
    "decibels": words.decibels,
}


def render_page(report: Report) -> str:
    """Return a report as one HTML document."""
    return _ENVIRONMENT.get_template("report.html.jinja").render(
        report=report,
        figures=figures,
        skipped_nodes=SKIPPED_NODES,
        blamed_nodes=BLAMED_NODES,
        about_biases=ABOUT_BIASES,
    )
