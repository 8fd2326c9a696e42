import pytest

from worker.engine.report.quality import Interval, Score
from worker.engine.summary import score_words


def score(before, after, low, high, **more):
    return Score(
        metric="top1",
        output="y",
        samples=100,
        before=before,
        after=after,
        difference_interval=Interval(low=low, high=high),
        **({"larger_is_better": True} | more),
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            score(0.5, 0.496, -0.012, 0.012),
            (
                "top1 0.5 to 0.496 (the drop of 0.4 points is within its interval,"
                " -1.2 to +1.2 points)"
            ),
        ),
        (
            score(0.5, 0.25, -0.3, -0.2),
            "top1 0.5 to 0.25 (a drop of 25 points, interval -30 to -20 points)",
        ),
        (
            score(0.1, 0.2, 0.05, 0.15, larger_is_better=False, name="letters"),
            "letters 0.1 to 0.2 (a rise of 10 points, interval +5 to +15 points)",
        ),
        (
            score(0.5, 0.75, 0.1, 0.3, unit="correlation"),
            "top1 0.5 to 0.75 (a gain of 0.25, interval +0.1 to +0.3)",
        ),
        (score(0.5, 0.5, -0.1, 0.1), "top1 0.5 to 0.5"),
    ],
)
def test_says_what_chance_makes_of_a_difference(found, words):
    assert score_words(found) == words
