from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from tests.dataset_files import write_npz
from tests.onnx_models import float_value, model_of
from tests.worker.engine.search.conftest import make_point
from worker.engine.search.allocation import Step
from worker.engine.search.smallest import (
    CAREFUL,
    Mixing,
    fewest_halves,
    smallest,
    try_carefully,
)
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
        drop = 0 if count <= self.good else 1
        return make_point(proposal.name, drop=drop, limits=self.goal.within)


@pytest.mark.parametrize("good", [0, 1, 7, 12, 20])
def test_finds_the_most_steps_that_keep_the_limits(good):
    trials = Trials(good)

    assert Mixing(trials, steps(20)).bisect(14, 21) == good
    assert len(set(trials.asked)) == len(trials.asked) <= 7


def test_a_file_that_is_still_too_large_needs_fewer_bits_not_more():
    trials = Trials(good=20)
    trials.goal = Goal(minimize="size", within=LIMITS.model_copy(update={"max_size_ratio": 0.1}))

    assert Mixing(trials, steps(20)).bisect(4, 21) == 20


def test_what_cannot_be_made_counts_as_a_miss():
    study = SimpleNamespace(goal=Trials.goal, try_=lambda _: None)

    assert Mixing(study, steps(5)).bisect(3, 6) == 0


def test_tries_four_bits_and_then_fewer_for_what_stands_them(study):
    opened = study(within={"min_sqnr_db": 15})

    smallest(opened)

    names = [each.proposal.name for each in opened.tried]
    assert names[1:3] == ["weights at 4 bits, each rounded to its nearest", "weights at 4 bits"]
    mixed = [point for point in opened.points if ", " in point.proposal.name and point.meets_goal]
    assert any("at 2" in point.proposal.name for point in opened.points)
    assert opened.best[0].meets_goal
    assert opened.best[0].size_ratio < 0.5
    assert all(point.worst_sqnr_db >= 15 for point in mixed)


def test_where_time_is_short_all_weights_are_rounded_the_quickest_way(study, monkeypatch):
    opened = study(within={"min_sqnr_db": 15})
    rounded = []
    for name in ("FEW", "PLENTY"):
        monkeypatch.setattr(f"worker.engine.search.smallest.{name}", 1e9)
    monkeypatch.setattr("worker.engine.weights.rounding.compensated_rounding", rounded.append)

    smallest(opened)

    steps = [step for point in opened.points for step in point.proposal.passes]
    assert len(steps) > 1
    assert not any(step.error_compensation for step in steps)
    assert rounded == []
    assert [each.proposal.name for each in opened.not_started] == ["weights at 4 bits"]


@pytest.mark.parametrize(
    ("left_seconds", "is_tried", "is_careful"),
    [
        # Three mixes of 2 s beside 10 s of rounding; it takes 20 s, and 20 more beside five mixes.
        (15.0, False, False),
        (17.0, True, False),
        (53.0, True, True),
    ],
)
def test_careful_rounding_is_for_where_mixes_can_follow(left_seconds, is_tried, is_careful):
    budget = SimpleNamespace(left_seconds=left_seconds)
    tried = []

    def try_(proposal):
        tried.append(proposal)
        budget.left_seconds -= 22.0
        return replace(make_point(proposal.name), duration_seconds=22.0)

    study = SimpleNamespace(
        budget=budget,
        try_=try_,
        least_seconds=lambda proposal: 12.0 if proposal is CAREFUL else 2.0,
        leave_out=lambda *_: None,
    )

    assert try_carefully(study) is is_careful
    assert bool(tried) is is_tried


def test_a_stricter_limit_costs_bytes(study, tmp_path):
    loose = study(within={"min_sqnr_db": 8})
    smallest(loose)
    (tmp_path / "study").rename(tmp_path / "loose")

    strict = study(within={"min_sqnr_db": 25})
    smallest(strict)

    assert loose.best[0].size_bytes < strict.best[0].size_bytes


def loud_and_faint():
    """x (batch, 32) by random weights, and a hundredth of x by others."""
    random = np.random.default_rng(0)
    loud, faint = random.normal(size=(2, 32, 32)).astype(np.float32)
    return model_of(
        [
            helper.make_node("MatMul", ["x", "loud"], ["much"], name="first"),
            helper.make_node("MatMul", ["x", "faint"], ["little"], name="second"),
            helper.make_node("Add", ["much", "little"], ["y"], name="add"),
        ],
        inputs=[float_value("x", ["batch", 32])],
        outputs=[float_value("y", ["batch", 32])],
        weights={"loud": loud, "faint": faint / 100},
    )


def test_halves_only_the_weights_that_need_it(study, tmp_path):
    rows = np.random.default_rng(1).normal(size=(20, 32)).astype(np.float32)
    data = write_npz(tmp_path / "x.npz", x=rows)
    opened = study(loud_and_faint(), data, within={"min_sqnr_db": 60})

    fewest_halves(opened)

    [mixed] = [point for point in opened.points if point.meets_goal and not point.is_original]
    assert [(each.weights, each.bits) for each in mixed.proposal.passes[0].overrides] == [
        (("*",), 8),
        (("loud",), 16),
    ]
