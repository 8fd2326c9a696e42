import re
from html import escape

import pytest
from PIL import Image

from tests.browser import find_browser
from worker.engine.passes.base import SkippedNode
from worker.engine.report.frontier import Frontier, FrontierPoint
from worker.engine.report.html.page import SKIPPED_NODES, render_page
from worker.engine.report.timings import RatioInterval
from worker.engine.spec import Goal

ACCENT = (37, 99, 201)
"""The colour of the compressed model's bars on a light page."""


@pytest.fixture
def browser(tmp_path):
    return find_browser(tmp_path / "profile")


def test_shows_every_part(report):
    page = render_page(report)

    for part in (
        "Gates",
        "Size",
        "Latency",
        "Loading",
        "Kernels",
        "Answers",
        "Weights",
        "Skipped",
        "Manifest",
    ):
        assert f">{part}</h2>" in page


def test_a_gate_says_its_bound_and_why_its_figure_was_not_measured(report):
    [gate] = report.verdict.gates
    unmeasured = {"limit": 4_000_123.0, "measured": None, "detail": "no such entry"}
    gates = [gate.model_copy(update=unmeasured)]

    page = render_page(
        report.model_copy(update={"verdict": report.verdict.model_copy(update={"gates": gates})})
    )

    assert ">at least 4,000,123</td>" in page
    assert ">no such entry</td>" in page


def test_leaves_out_what_was_not_measured(report):
    bare = report.model_copy(
        update={
            "latency": None,
            "loading": None,
            "kernels": None,
            "accuracy": [],
            "fidelity": [],
            "layers": [],
            "skipped": [],
            "spending": None,
        }
    )

    page = render_page(bare)

    for part in ("Latency", "Loading", "Kernels", "Weights", "Skipped"):
        assert f">{part}</h2>" not in page


@pytest.mark.parametrize(
    "text",
    [
        "takes 1.5 times as long (96% interval 1.25 to 1.75)",
        "Noisy machine: other programs kept 1.5 of 2 processors busy",
        "<li>Conv takes longer</li>",
        "<td>Peak memory</td>",
        "500 ms in all, and 750 ms of processors.",
    ],
)
def test_says_how_far_its_timings_can_be_trusted(report, text):
    assert text in render_page(report)


def test_asks_no_other_host_for_anything(report):
    page = render_page(report)

    assert re.findall(r"(?:src|href|url)\s*[=(]", page) == []
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_names_the_number_of_nodes_it_leaves_out(report):
    many = [SkippedNode(node=f"n{i}", op_type="Add", reason="r") for i in range(SKIPPED_NODES + 3)]

    page = render_page(report.model_copy(update={"skipped": many}))

    assert "And 3 more." in page


def test_a_browser_shows_hostile_names_as_text(report, browser, tmp_path):
    name = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"
    skipped = [SkippedNode(node=name, op_type="Add", reason=name)]
    file = tmp_path / "report.html"
    file.write_text(render_page(report.model_copy(update={"skipped": skipped})))

    dom = browser.dom(file.as_uri())

    assert "<script" not in dom
    assert "<img" not in dom
    assert "&lt;script&gt;" in dom


def test_a_browser_draws_the_charts(report, browser, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(render_page(report))

    picture = browser.screenshot(file.as_uri(), tmp_path / "page.png", width=1000, height=2400)

    with Image.open(picture) as image:
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(2**24)}
    assert colours.get(ACCENT, 0) > 5000


def test_shows_who_is_to_blame_and_what_mends_it(report):
    page = render_page(report)

    assert "one channel dwarfs the others" in page
    assert "20.00% outside of the range" in page
    assert "nodes_to_exclude: 29.0 dB" in page
    assert "&#34;method&#34;: &#34;float16&#34;" in page


@pytest.fixture
def frontier(report):
    """What a search tried: one candidate, and one that was given up."""
    made = FrontierPoint(
        name="weights at 4 bits, each rounded to its nearest, and all else as it was before",
        spec=report.manifest.resolved_spec,
        size_ratio=0.125,
        latency_ratio=0.98,
        worst_sqnr_db=20.5,
        meets_goal=True,
        role="alternative_1",
        duration_seconds=2,
    )
    given_up = FrontierPoint(
        name="static",
        spec=None,
        dropped="no data, and another point is at least as good in size, latency and answers",
        duration_seconds=1,
    )
    return Frontier(
        goal=Goal(minimize="size"),
        is_met=True,
        conclusion="Chosen of 2.",
        points=[made, given_up],
        ended="budget spent",
        spent_seconds=12.0,
    )


@pytest.mark.parametrize(
    ("minimize", "axis", "side"),
    [("size", "times smaller", "smaller"), ("latency", "times as fast", "faster")],
)
def test_shows_what_a_search_tried(report, frontier, minimize, axis, side):
    searched = frontier.model_copy(update={"goal": Goal(minimize=minimize)})

    page = render_page(report.model_copy(update={"frontier": searched}))

    assert ">Frontier</h2>" in page
    assert "as it was before: size 0.125, latency 0.98" in page
    assert axis in page
    assert f"further right is {side}" in page
    assert "<b>alternative 1</b>" in page
    assert "no data" in page


def test_a_narrow_browser_shows_what_a_search_tried_without_scrolling_sideways(
    report, frontier, browser, tmp_path
):
    page = render_page(report.model_copy(update={"frontier": frontier}))
    file = tmp_path / "narrow.html"
    file.write_text(
        f"""<iframe id="narrow" width="360" srcdoc="{escape(page)}"></iframe><script>
        onload = () => {{
          const table = narrow.contentDocument.querySelector(".cards");
          const rows = [...table.rows].map((row) => row.offsetHeight);
          const hidden = table.parentElement.scrollWidth - table.parentElement.clientWidth;
          document.title = `${{hidden}} hidden, ${{Math.max(...rows)}} high`;
        }};</script>"""
    )

    hidden, height = re.findall(
        r"<title>(\d+) hidden, (\d+) high</title>", browser.dom(file.as_uri())
    )[0]

    assert int(hidden) == 0
    assert int(height) < 250


def test_a_narrow_browser_shows_charts_in_full_and_their_words_as_large_as_others(
    report, frontier, browser, tmp_path
):
    page = render_page(report.model_copy(update={"frontier": frontier}))
    file = tmp_path / "charts.html"
    file.write_text(
        f"""<iframe id="narrow" width="360" srcdoc="{escape(page)}"></iframe><script>
        onload = () => {{
          const find = (what) => [...narrow.contentDocument.querySelectorAll(what)];
          const figures = find("body > figure");
          const hidden = Math.max(...figures.map((it) => it.scrollWidth - it.clientWidth));
          const words = find(".plot .mark, .bar span").filter((it) => it.textContent);
          const heights = words.map((it) => it.getBoundingClientRect().height);
          document.title = `${{hidden}} hidden, ${{Math.min(...heights).toFixed()}} high`;
        }};</script>"""
    )

    hidden, height = re.findall(
        r"<title>(-?\d+) hidden, (\d+) high</title>", browser.dom(file.as_uri())
    )[0]

    assert int(hidden) == 0
    assert int(height) >= 11


def test_says_no_speed_that_chance_may_have_made(report):
    unclear = report.latency.model_copy(
        update={
            "ratio": 0.97,
            "ratio_interval": RatioInterval(low=0.9, high=1.1, confidence=0.95),
            "left_out_rounds": 1,
        }
    )

    page = render_page(report.model_copy(update={"latency": unclear}))

    assert "<b>same</b>speed, as far as can be told: " in page
    assert "1 of 1 rounds were left out" in page


def test_says_why_not_in_a_sentence_with_the_rest_behind_it(report, frontier):
    ruined = frontier.points[1].model_copy(update={"dropped": "the answers are ruined. Try <more>"})
    missed = frontier.points[0].model_copy(
        update={"dropped": "misses min_sqnr_db", "missed": ["min_sqnr_db: 20.5 dB is too little"]}
    )
    searched = frontier.model_copy(update={"points": [missed, ruined]})

    page = render_page(report.model_copy(update={"frontier": searched}))

    assert (
        "the answers are ruined<details><summary>more</summary>Try &lt;more&gt;</details>" in page
    )
    assert ">min_sqnr_db: 20.5 dB is too little</td>" in page


def test_tells_two_weights_of_a_node_apart(report):
    [layer] = report.layers
    page = render_page(
        report.model_copy(update={"layers": [layer, layer.model_copy(update={"weight": "bias"})]})
    )

    assert "<span>conv|1, w</span>" in page
    assert "<span>conv|1, bias</span>" in page
    assert "is moved on purpose" in page
