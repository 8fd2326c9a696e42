from xml.etree import ElementTree

import pytest

from worker.engine.report.html.charts import (
    LINE_HEIGHT,
    PLOT_HEIGHT,
    Axis,
    Bar,
    Point,
    bars,
    histogram,
    line,
    scatter,
)

AXES = (Axis("x", 0, 10), Axis("y", 0, 100))


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(tag))  # noqa: S314 - our own drawing


def percent(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name).removesuffix("%"))


def test_a_bar_is_as_long_as_its_share_of_the_largest():
    svg = bars([Bar("a", 10, "10"), Bar("b", 5, "5")], "t")

    assert [percent(each, "width") for each in elements(svg, "rect")] == [100, 50]


def test_the_largest_bar_leaves_room_for_its_interval():
    svg = bars([Bar("a", 10, "10", low=5, high=20)], "t")

    (bar,), (whisker, *_) = elements(svg, "rect"), elements(svg, "line")
    assert percent(bar, "width") == 50
    assert (percent(whisker, "x1"), percent(whisker, "x2")) == (25, 100)


def test_names_cannot_leave_their_place():
    svg = bars([Bar("<script>alert(1)</script>", 1, "&")], '"><b>')

    assert "<script" not in svg
    assert "<b>" not in svg
    assert "&lt;script" in svg


def test_a_long_name_keeps_its_end():
    svg = bars([Bar("block/" * 20 + "last", 1, "1")], "t")

    assert elements(svg, "span")[0].text.endswith("block/last")


def test_points_lie_where_their_values_are():
    svg = scatter([Point(0, 0, "origin"), Point(10, 100, "far")], AXES, "t")

    origin, far = elements(svg, "circle")
    assert (percent(origin, "cx"), float(origin.get("cy"))) == (0, PLOT_HEIGHT)
    assert (percent(far, "cx"), float(far.get("cy"))) == (100, 0)


def joints(svg: str) -> list[tuple[float, float, float, float]]:
    """Where the parts of a line begin and end."""
    lines = [each for each in elements(svg, "line") if each.get("class") == "line"]
    return [
        (percent(each, "x1"), float(each.get("y1")), percent(each, "x2"), float(each.get("y2")))
        for each in lines
    ]


def test_a_line_joins_its_points_in_order():
    svg = line([Point(0, 0, "a"), Point(10, 100, "b")], AXES, "t")

    assert len(elements(svg, "circle")) == 2
    assert joints(svg) == [(0, PLOT_HEIGHT, 100, 0)]


def test_points_apart_are_not_joined():
    svg = line([Point(0, 0, "a"), Point(10, 0, "b")], AXES, "t", apart=[Point(5, 50, "c")])

    assert len(elements(svg, "circle")) == 3
    assert joints(svg) == [(0, PLOT_HEIGHT, 100, PLOT_HEIGHT)]


def test_the_chosen_range_covers_the_values_it_holds():
    svg = histogram([1, 9, 1, 0], (0.0, 4.0), (1.0, 2.0))

    chosen, *columns = elements(svg, "rect")
    second = columns[1]
    assert float(chosen.get("x")) == pytest.approx(float(second.get("x")), abs=0.1)
    assert max(columns, key=lambda each: float(each.get("height"))) is second


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-0.04, 0.05, [-0.04, -0.02, 0, 0.02, 0.04])],
)
def test_ticks_are_round(low, high, expected):
    assert Axis("", low, high).ticks() == pytest.approx(expected)


def test_an_axis_holds_equal_and_unbounded_values():
    axis = Axis.around("", [3.0, 3.0, float("inf")])

    assert axis.low < 3 < axis.high
    assert axis.ticks()


def test_a_label_stays_inside_the_plot():
    svg = scatter([Point(0, 0, "", label="left"), Point(10, 0, "", label="right")], AXES, "t")

    left, right = elements(svg, "text")[-2:]
    assert (left.get("class"), left.get("x"), left.get("dx")) == ("mark start", "0.00%", "8")
    assert (right.get("class"), right.get("x"), right.get("dx")) == ("mark end", "100.00%", "-8")


def test_labels_of_points_that_lie_together_stand_below_each_other():
    labelled = [Point(9, 50, "", label=name) for name in ("chosen", "alternative 1", "other")]

    svg = scatter([*labelled, Point(0, 50, "", label="far away")], AXES, "t")

    chosen, alternative, other, far = (
        float(each.get("y")) for each in elements(svg, "text") if each.get("class")[:4] == "mark"
    )
    assert alternative - chosen == other - alternative == LINE_HEIGHT
    assert far == chosen
