import pytest
from pydantic import ValidationError

from worker.engine.passes.float16 import Float16
from worker.engine.spec import Gates, Spec

PASSES = [{"method": "float16"}]


def test_passes_or_a_goal_say_what_to_do():
    assert Spec(passes=PASSES).goal is None
    assert Spec(goal={"minimize": "size"}).passes is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "either passes or a goal"),
        ({"passes": PASSES, "gates": {"max_size_ratio": "Infinity"}}, "a finite number"),
        ({"passes": PASSES, "goal": {"minimize": "size"}}, "either passes or a goal"),
        ({"goal": {"minimize": "size"}, "gates": {"min_cosine": 0.9}}, "goal.within"),
        (
            {"goal": {"minimize": "latency"}, "evaluation": {"latency": None}},
            "evaluation.latency is null",
        ),
        ({"goal": {"minimize": "weight"}}, "'size', 'latency' or 'balanced'"),
        ({"goal": {"minimize": "size", "budget_seconds": 0}}, "greater than or equal to 1"),
        ({"goal": {"minimize": "size", "methods": []}}, "at least 1"),
        ({"goal": {"minimize": "size", "methods": ["magic"]}}, "weight_quantization"),
    ],
)
def test_refuses_what_says_too_little_or_too_much(spec, message):
    with pytest.raises(ValidationError, match=message):
        Spec.model_validate(spec)


def test_a_stored_spec_stays_what_it_was():
    stored = {"version": 1, "passes": PASSES, "gates": {"max_size_ratio": 0.5}}

    spec = Spec.model_validate(stored)

    assert (spec.passes, spec.verdict_gates) == ([Float16()], Gates(max_size_ratio=0.5))


def test_a_goal_survives_json():
    spec = Spec(goal={"minimize": "balanced", "within": {"max_accuracy_drop": 0.01}})

    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_the_spec_of_a_point_has_the_limits_of_the_goal_as_gates():
    spec = Spec(goal={"minimize": "size", "within": {"max_latency_ratio": 1.05}}, seed=3)

    point = spec.with_passes([Float16()])

    assert (point.goal, point.seed, point.passes) == (None, 3, [Float16()])
    assert point.gates == Gates(max_latency_ratio=1.05)
    assert Spec.model_validate_json(point.model_dump_json()) == point


def test_other_limits_go_where_the_spec_has_its_own():
    gates = Gates(max_size_ratio=0.5)

    goal = Spec(goal={"minimize": "size", "within": {"min_cosine": 0.9}}).with_gates(gates)

    assert (goal.goal.within, goal.gates) == (gates, Gates())
    assert Spec(passes=PASSES).with_gates(gates).gates == gates
