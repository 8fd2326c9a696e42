"""Charts as SVG: horizontal bars, points, a line and a histogram, with colours left to the page.

Every text goes through escaping, as names come from uploaded models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

WIDTH = 720
ROW_HEIGHT = 22
LABEL_WIDTH = 220
VALUE_WIDTH = 110
PLOT_HEIGHT = 260
MARGIN = 56
LABEL_CHARACTERS = 34


@dataclass(frozen=True)
class Bar:
    """One bar: `series` picks its colour; `low` and `high` are the ends of its interval."""

    label: str
    value: float
    text: str
    series: str = "after"
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Point:
    """A point of a plot; `series` picks its colour, `text` shows when it is pointed at."""

    x: float
    y: float
    text: str
    series: str = "after"
    label: str = ""


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    title: str
    low: float
    high: float

    @classmethod
    def around(cls, title: str, values: Iterable[float]) -> "Axis":
        """Return an axis that holds all values, with some room on both sides."""
        finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        room = (high - low or abs(high) or 1.0) * 0.08
        return cls(title, low - room, high + room)

    def at(self, value: float, start: float, end: float) -> float:
        """Return where a value lies between two places."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return start + min(1.0, max(0.0, share)) * (end - start)

    def ticks(self) -> list[float]:
        """Return about five round values."""
        span = self.high - self.low
        raw = span / 5
        power = 10.0 ** floor(log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
        first = ceil(self.low / step)
        return [n * step for n in range(first, floor(self.high / step) + 1)]


def bars(rows: Sequence[Bar], title: str) -> Markup:
    """Return horizontal bars from 0, each with its label on the left and its text on the right."""
    largest = max([row.high or row.value for row in rows if isfinite(row.value)], default=0.0)
    axis = Axis("", 0.0, largest or 1.0)
    start, end = LABEL_WIDTH, WIDTH - VALUE_WIDTH
    drawn = []
    for index, row in enumerate(rows):
        top = index * ROW_HEIGHT
        width = axis.at(row.value, start, end) - start
        middle = top + ROW_HEIGHT / 2
        drawn.append(
            Markup(
                '<g><title>{label}: {text}</title><text class="label" x="{x:.1f}" y="{y:.1f}">'
                '{short}</text><rect class="{series}" x="{start}" y="{top:.1f}" width="{width:.1f}"'
                ' height="{height}" rx="2"/>{whisker}'
                '<text class="value" x="{end:.1f}" y="{y:.1f}">{text}</text></g>'
            ).format(
                label=row.label,
                text=row.text,
                short=_shortened(row.label),
                x=start - 8,
                y=middle + 4,
                series=row.series,
                start=start,
                top=top + 3,
                width=max(1.0, width),
                height=ROW_HEIGHT - 6,
                whisker=_whisker(row, axis, middle),
                end=WIDTH - VALUE_WIDTH + 8,
            )
        )
    return _svg(drawn, ROW_HEIGHT * len(rows), title)


def scatter(points: Sequence[Point], axes: tuple[Axis, Axis], title: str) -> Markup:
    """Return points over two axes, horizontal then vertical."""
    drawn = [*_frame(axes)]
    for point in points:
        x, y = _place(point, axes)
        drawn.append(
            Markup(
                '<g><title>{text}</title><circle class="{series}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
                '<text class="mark {anchor}" x="{beside:.1f}" y="{up:.1f}">{label}</text></g>'
            ).format(
                text=point.text,
                series=point.series,
                x=x,
                y=y,
                anchor="end" if x > WIDTH / 2 else "start",
                beside=x - 8 if x > WIDTH / 2 else x + 8,
                up=y - 6,
                label=_shortened(point.label),
            )
        )
    return _svg(drawn, PLOT_HEIGHT, title)


def line(
    points: Sequence[Point], axes: tuple[Axis, Axis], title: str, *, apart: Sequence[Point] = ()
) -> Markup:
    """Return points joined in order, and others that stay apart."""
    places = [_place(point, axes) for point in points]
    path = Markup(" ").join(Markup("{:.1f},{:.1f}").format(x, y) for x, y in places)
    drawn = [*_frame(axes), Markup('<polyline class="line" points="{}"/>').format(path)]
    for point in (*points, *apart):
        x, y = _place(point, axes)
        drawn.append(
            Markup(
                '<g><title>{}</title><circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"/></g>'
            ).format(point.text, point.series, x, y)
        )
    return _svg(drawn, PLOT_HEIGHT, title)


def histogram(
    counts: Sequence[float], span: tuple[float, float], chosen: tuple[float, float] | None
) -> Markup:
    """Return counts over equal parts of `span`; `chosen` is the range that integers stand for.

    Heights are of log(1 + count), so that rare outliers show.
    """
    low, high = min([span[0], *(chosen or ())]), max([span[1], *(chosen or ())])
    axis = Axis("", low, high if high > low else low + 1.0)
    start, end, height = 8.0, 332.0, 96.0
    tallest = max((log10(1 + count) for count in counts), default=0.0) or 1.0
    drawn = []
    if chosen is not None:
        left, right = (axis.at(value, start, end) for value in chosen)
        drawn.append(
            Markup('<rect class="chosen" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                left, max(1.0, right - left), height
            )
        )
    step = (span[1] - span[0]) / max(1, len(counts))
    for index, count in enumerate(counts):
        left = axis.at(span[0] + index * step, start, end)
        right = axis.at(span[0] + (index + 1) * step, start, end)
        tall = log10(1 + count) / tallest * (height - 4)
        drawn.append(
            Markup(
                '<rect class="after" x="{:.2f}" y="{:.1f}" width="{:.2f}" height="{:.1f}">'
                "<title>{:.4g} to {:.4g}: {:,.0f}</title></rect>"
            ).format(
                left,
                height - tall,
                max(0.5, right - left - 0.5),
                tall,
                span[0] + index * step,
                span[0] + (index + 1) * step,
                count,
            )
        )
    for value, anchor, place in ((axis.low, "start", start), (axis.high, "end", end)):
        drawn.append(
            Markup('<text class="tick {}" x="{:.1f}" y="{:.1f}">{:.4g}</text>').format(
                anchor, place, height + 14, value
            )
        )
    return _svg(drawn, int(height) + 20, "histogram", width=340)


def _frame(axes: tuple[Axis, Axis]) -> list[Markup]:
    """Return the grid of a plot with its ticks and titles."""
    horizontal, vertical = axes
    bottom, top, left, right = PLOT_HEIGHT - 40, 10, MARGIN, WIDTH - 20
    drawn = []
    for value in horizontal.ticks():
        x = horizontal.at(value, left, right)
        drawn.append(
            Markup(
                '<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'
                '<text class="tick middle" x="{x:.1f}" y="{y}">{value:g}</text>'
            ).format(x=x, top=top, bottom=bottom, y=bottom + 14, value=round(value, 9))
        )
    for value in vertical.ticks():
        y = vertical.at(value, bottom, top)
        drawn.append(
            Markup(
                '<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text class="tick end" x="{x}" y="{below:.1f}">{value:g}</text>'
            ).format(
                left=left, right=right, y=y, x=left - 6, below=y + 4, value=round(value, 9)
            )
        )  # fmt: skip
    drawn.append(
        Markup('<text class="title middle" x="{}" y="{}">{}</text>').format(
            (left + right) / 2, PLOT_HEIGHT - 6, horizontal.title
        )
    )
    drawn.append(
        Markup(
            '<text class="title middle" transform="translate(12 {}) rotate(-90)">{}</text>'
        ).format((top + bottom) / 2, vertical.title)
    )
    return drawn


def _place(point: Point, axes: tuple[Axis, Axis]) -> tuple[float, float]:
    horizontal, vertical = axes
    x = horizontal.at(point.x, MARGIN, WIDTH - 20)
    return x, vertical.at(point.y, PLOT_HEIGHT - 40, 10)


def _whisker(row: Bar, axis: Axis, middle: float) -> Markup:
    """Return the line that shows a bar's interval."""
    if row.low is None or row.high is None:
        return Markup()
    left, right = (
        axis.at(value, LABEL_WIDTH, WIDTH - VALUE_WIDTH) for value in (row.low, row.high)
    )
    return Markup(
        '<path class="whisker" d="M{left:.1f} {up:.1f}V{down:.1f}M{left:.1f} {middle:.1f}'
        'H{right:.1f}M{right:.1f} {up:.1f}V{down:.1f}"/>'
    ).format(left=left, right=right, middle=middle, up=middle - 4, down=middle + 4)


def _svg(drawn: Iterable[Markup], height: int, title: str, *, width: int = WIDTH) -> Markup:
    return Markup(
        '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}</svg>'
    ).format(title, width, height, width, height, Markup().join(drawn))


def _shortened(label: str) -> str:
    """Return a label that fits; the end of a node's name says most."""
    return label if len(label) <= LABEL_CHARACTERS else f"…{label[-LABEL_CHARACTERS + 1 :]}"
