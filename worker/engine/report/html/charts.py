"""Charts of horizontal bars, points, a line and a histogram, with colours left to the page.

Across, places are shares of the width that there is: a narrow page does not shrink the text.
Every text goes through escaping, as names come from uploaded models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

BAR_MIDDLE = 8
"""Half the height that the page's style gives to bars."""
PLOT_HEIGHT = 210
LINE_HEIGHT = 13
NEAR_PERCENT = 50.0
"""Two labels side by side take less of a plot's width, also where it is narrow."""
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
    """Return horizontal bars from 0, each with its label and its text."""
    largest = max([row.high or row.value for row in rows if isfinite(row.value)], default=0.0)
    axis = Axis("", 0.0, largest or 1.0)
    drawn = [
        Markup(
            '<div class="bar" title="{label}: {text}"><span>{short}</span><svg><rect'
            ' class="{series}" width="{width:.2f}%" height="100%" rx="2"/>{whisker}</svg>'
            "<span>{text}</span></div>"
        ).format(
            label=row.label,
            text=row.text,
            short=_shortened(row.label),
            series=row.series,
            width=max(0.2, axis.at(row.value, 0, 100)),
            whisker=_whisker(row, axis),
        )
        for row in rows
    ]
    return Markup('<div class="bars" role="group" aria-label="{}">{}</div>').format(
        title, Markup().join(drawn)
    )


def scatter(points: Sequence[Point], axes: tuple[Axis, Axis], title: str) -> Markup:
    """Return points over two axes, horizontal then vertical; labels keep clear of each other."""
    drawn = [*_frame(axes)]
    heights = _label_heights([(_place(point, axes), bool(point.label)) for point in points])
    for point, height in zip(points, heights, strict=True):
        x, y = _place(point, axes)
        drawn.append(
            Markup(
                "<g><title>{text}</title>"
                '<circle class="{series}" cx="{x:.2f}%" cy="{y:.1f}" r="5"/>'
                '<text class="mark {anchor}" x="{x:.2f}%" dx="{beside}" y="{up:.1f}">{label}</text>'
                "</g>"
            ).format(
                text=point.text,
                series=point.series,
                x=x,
                y=y,
                anchor="end" if x > 50 else "start",
                beside=-8 if x > 50 else 8,
                up=height,
                label=_shortened(point.label),
            )
        )
    return _plot(drawn, title)


def line(
    points: Sequence[Point], axes: tuple[Axis, Axis], title: str, *, apart: Sequence[Point] = ()
) -> Markup:
    """Return points joined in order, and others that stay apart."""
    places = [_place(point, axes) for point in points]
    joints = [
        Markup('<line class="line" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>').format(
            *start, *end
        )
        for start, end in pairwise(places)
    ]
    drawn = [*_frame(axes), *joints]
    for point in (*points, *apart):
        x, y = _place(point, axes)
        drawn.append(
            Markup(
                '<g><title>{}</title><circle class="{}" cx="{:.2f}%" cy="{:.1f}" r="4"/></g>'
            ).format(point.text, point.series, x, y)
        )
    return _plot(drawn, title)


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
    return Markup(
        '<svg class="histogram" role="img" aria-label="histogram" viewBox="0 0 340 116"'
        ' width="340" height="116">{}</svg>'
    ).format(Markup().join(drawn))


def _frame(axes: tuple[Axis, Axis]) -> list[Markup]:
    """Return the grid of a plot, and around it ticks and titles, for which the page leaves room."""
    horizontal, vertical = axes
    drawn = [
        Markup(
            '<line class="grid" x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{bottom}"/>'
            '<text class="tick middle" x="{x:.2f}%" y="{y}">{value:g}</text>'
        ).format(
            x=horizontal.at(value, 0, 100),
            bottom=PLOT_HEIGHT,
            y=PLOT_HEIGHT + 14,
            value=round(value, 9),
        )
        for value in horizontal.ticks()
    ]
    for value in vertical.ticks():
        y = vertical.at(value, PLOT_HEIGHT, 0)
        drawn.append(
            Markup(
                '<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>'
                '<text class="tick end" x="-6" y="{below:.1f}">{value:g}</text>'
            ).format(y=y, below=y + 4, value=round(value, 9))
        )
    drawn.append(
        Markup('<text class="title middle" x="50%" y="{}">{}</text>').format(
            PLOT_HEIGHT + 34, horizontal.title
        )
    )
    drawn.append(
        Markup(
            '<text class="title middle" transform="translate(-44 {}) rotate(-90)">{}</text>'
        ).format(PLOT_HEIGHT / 2, vertical.title)
    )
    return drawn


def _plot(drawn: Iterable[Markup], title: str) -> Markup:
    return Markup('<svg class="plot" role="img" aria-label="{}" height="{}">{}</svg>').format(
        title, PLOT_HEIGHT, Markup().join(drawn)
    )


def _place(point: Point, axes: tuple[Axis, Axis]) -> tuple[float, float]:
    """Return where a point lies: across in percent, down in pixels."""
    horizontal, vertical = axes
    return horizontal.at(point.x, 0, 100), vertical.at(point.y, PLOT_HEIGHT, 0)


def _label_heights(places: Sequence[tuple[tuple[float, float], bool]]) -> list[float]:
    """Return how far down each point's label goes: below those that it would lie on."""
    heights = [y - 6 for (_, y), _ in places]
    taken: list[tuple[float, float]] = []
    for index in sorted(range(len(places)), key=lambda index: heights[index]):
        (x, _), has_label = places[index]
        if not has_label:
            continue
        near = sorted(height for other, height in taken if abs(other - x) < NEAR_PERCENT)
        for height in near:
            if abs(heights[index] - height) < LINE_HEIGHT:
                heights[index] = height + LINE_HEIGHT
        taken.append((x, heights[index]))
    return heights


def _whisker(row: Bar, axis: Axis) -> Markup:
    """Return the lines that show a bar's interval."""
    if row.low is None or row.high is None:
        return Markup()
    left, right = (axis.at(value, 0, 100) for value in (row.low, row.high))
    return Markup().join(
        Markup('<line class="whisker" x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>').format(
            start, end, BAR_MIDDLE - tall, BAR_MIDDLE + tall
        )
        for start, end, tall in ((left, right, 0), (left, left, 4), (right, right, 4))
    )


def _shortened(label: str) -> str:
    """Return a label that fits; the end of a node's name says most."""
    return label if len(label) <= LABEL_CHARACTERS else f"…{label[-LABEL_CHARACTERS + 1 :]}"
