from worker.engine.report.frontier import Frontier, FrontierPoint
from worker.engine.report.markdown.document import render_markdown
from worker.engine.spec import Goal


def test_shows_every_point_and_why_it_is_not_the_choice(report):
    report.frontier = Frontier(
        goal=Goal(minimize="size", budget_seconds=60),
        is_met=True,
        conclusion="Chosen of 2 measured candidates: weights at 4 bits.",
        points=[
            FrontierPoint(
                name="weights at 4 bits",
                spec=None,
                size_ratio=0.125,
                latency_ratio=0.987654,
                worst_sqnr_db=20.5,
                scores=report.accuracy,
                role="chosen",
                is_pareto_optimal=True,
                duration_seconds=2,
            ),
            FrontierPoint(name="static", spec=None, dropped="no |data|", duration_seconds=1),
        ],
        ended="nothing left to try",
        spent_seconds=12.34,
    )

    text = render_markdown(report)

    assert "nothing left to try after 12.3 of 60 s" in text
    row = "| **chosen** | weights at 4 bits | 8.00 | 0.9877 | 20.5 | top1 0.7500 | yes |  |"
    assert row in text
    assert "|  | static | - | - | - | - |  | no \\|data\\| |" in text


def test_a_job_without_a_goal_has_no_frontier(report):
    assert "Frontier" not in render_markdown(report)
