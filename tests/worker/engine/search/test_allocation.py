import pytest

from worker.engine.search.allocation import WeightCosts, decibels, pass_after, steps_down

LARGE = WeightCosts("large", {8: 800, 4: 400, 2: 200}, {8: 0.0, 4: 0.004, 2: 0.1})
SMALL = WeightCosts("small", {8: 80, 4: 40, 2: 20}, {8: 0.0, 4: 0.004, 2: 0.005})


def test_takes_the_steps_that_save_most_for_their_error_first():
    steps = steps_down([LARGE, SMALL])

    # Error for each byte saved: large to 4 bits 0.004/400, small to 2 bits 0.005/60 at once, which
    # is less than 0.004/40 to 4 bits, and large on to 2 bits 0.096/200.
    assert [(step.name, step.bits) for step in steps] == [("large", 4), ("small", 2), ("large", 2)]
    assert [step.error for step in steps] == pytest.approx([0.004, 0.009, 0.105])


def test_predicts_the_fidelity_of_all_errors_together():
    steps = steps_down([LARGE])

    assert decibels(steps[-1]) == pytest.approx(10.0)  # 10 log10(1 / 0.1)


def test_a_weight_that_was_not_measured_at_two_bits_keeps_four():
    weight = WeightCosts("only", {8: 80, 4: 40}, {8: 0.0, 4: 0.1})

    assert [step.bits for step in steps_down([weight])] == [4]


def test_writes_the_bits_of_each_weight_out():
    steps = steps_down([LARGE, SMALL])

    step = pass_after(steps, 2, block_size=64)

    assert (step.bits, step.block_size, step.runtime_form) == (2, 64, "folded")
    assert [(each.weights, each.bits) for each in step.overrides] == [
        (("*",), 8),
        (("large",), 4),
        (("small",), 2),
    ]


def test_weights_that_have_yet_to_step_down_to_eight_bits_are_at_sixteen():
    weights = [
        WeightCosts("robust", {16: 200, 8: 100}, {16: 0.0, 8: 1e-6}),
        WeightCosts("fragile", {16: 200, 8: 100}, {16: 0.0, 8: 1e-2}),
    ]
    steps = steps_down(weights)

    overrides = [pass_after(steps, count, block_size=32).overrides for count in (0, 1, 2)]

    assert [(step.name, step.bits) for step in steps] == [("robust", 8), ("fragile", 8)]
    assert [(each.weights, each.bits) for each in overrides[0][1:]] == [(("robust", "fragile"), 16)]
    assert [(each.weights, each.bits) for each in overrides[1][1:]] == [(("fragile",), 16)]
    assert overrides[2][1:] == ()


def test_names_that_look_like_patterns_mean_themselves():
    steps = steps_down([WeightCosts("w[0]", {8: 8, 4: 4}, {8: 0.0, 4: 0.1})])

    assert pass_after(steps, 1, block_size=32).overrides[1].weights == ("w[[]0]",)
