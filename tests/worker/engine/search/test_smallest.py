from types import SimpleNamespace

import pytest

from tests.worker.engine.search.conftest import make_point
from worker.engine.search.allocation import Step
from worker.engine.search.smallest import BLOCK_SIZE, _bisect, smallest
from worker.engine.spec import Gates, Goal

LIMITS = Gates(max_accuracy_drop=0.01)


def steps(count):
    """A way down on which each step doubles the error."""
    return [Step(f"w{number}", 4, 1e-6 * 2**number) for number in range(count)]


class Trials:
    """A search in which so many steps keep the limits; counts those that it is asked for."""

    goal = Goal(minimize="size", within=LIMITS)

    def __init__(self, good):
        self.good = good
        self.asked = []

    def try_(self, proposal):
        [step] = proposal.passes
        count = sum(len(each.weights) for each in step.overrides[1:])
        self.asked.append(count)
        return make_point(proposal.name, drop=0 if count <= self.good else 1, limits=LIMITS)


@pytest.mark.parametrize("good", [0, 1, 7, 12, 20])
def test_finds_the_most_steps_that_keep_the_limits(good):
    trials = Trials(good)

    assert _bisect(trials, steps(20), BLOCK_SIZE) == good
    assert len(set(trials.asked)) == len(trials.asked) <= 7


def test_what_cannot_be_made_counts_as_a_miss():
    study = SimpleNamespace(goal=Trials.goal, try_=lambda _: None)

    assert _bisect(study, steps(5), BLOCK_SIZE) == 0


def test_tries_four_bits_and_then_fewer_for_what_stands_them(study):
    opened = study(within={"min_sqnr_db": 15})

    smallest(opened)

    names = [each.proposal.name for each in opened.tried]
    assert names[:3] == [
        "the original",
        "weights at 4 bits, each rounded to its nearest",
        "weights at 4 bits",
    ]
    mixed = [point for point in opened.points if ", " in point.proposal.name and point.meets_goal]
    assert any("at 2" in point.proposal.name for point in opened.points)
    assert opened.best[0].meets_goal
    assert opened.best[0].size_ratio < 0.5
    assert all(point.worst_sqnr_db >= 15 for point in mixed)


def test_a_stricter_limit_costs_bytes(study, tmp_path):
    loose = study(within={"min_sqnr_db": 8})
    smallest(loose)
    (tmp_path / "study").rename(tmp_path / "loose")

    strict = study(within={"min_sqnr_db": 25})
    smallest(strict)

    assert loose.best[0].size_bytes < strict.best[0].size_bytes
