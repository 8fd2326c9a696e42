import numpy as np
import pytest
from onnx import helper

from tests.engine_runs import answers, sqnr_db
from tests.onnx_models import float_value, linear, model_of
from worker.engine.quantization.choosing import NO_FASTER, TOO_FRAGILE
from worker.engine.quantization.dynamic import WeightOptions, write_dynamic
from worker.engine.quantization.dynamic_choosing import (
    DynamicChoice,
    keep_answers,
    keep_fast,
    keep_faster,
)

OPTIONS = WeightOptions(reduce_range=True)
"""Right on every processor."""


def uniform(*shape):
    return np.random.default_rng(2).uniform(-1, 1, shape).astype(np.float32)


def fragile_and_sound():
    """A MatMul whose input holds one huge value that its weight ignores, and a plain one."""
    ignoring = uniform(16, 16)
    ignoring[0] = 0
    return model_of(
        [
            helper.make_node("MatMul", ["spiked", "w"], ["first"], name="fragile"),
            helper.make_node("MatMul", ["plain", "v"], ["second"], name="sound"),
            helper.make_node("Add", ["first", "second"], ["y"], name="add"),
        ],
        [float_value("spiked", [8, 16]), float_value("plain", [8, 16])],
        [float_value("y", [8, 16])],
        {"w": ignoring, "v": uniform(16, 16)},
    )


def unhurried():
    """There is time for all."""


def feeds():
    spiked = uniform(8, 16)
    spiked[:, 0] = 1000
    return {"spiked": spiked, "plain": uniform(8, 16)}


def test_the_node_that_spoils_the_answers_stays_in_float():
    model, choice = fragile_and_sound(), DynamicChoice(["fragile", "sound"])

    keep_answers(choice, model, [feeds()], OPTIONS, allowed=1e-3, tick=unhurried)

    assert choice.chosen == ["sound"]
    assert choice.reasons == {"fragile": TOO_FRAGILE}
    result = write_dynamic(model, choice.chosen, OPTIONS)
    assert sqnr_db(answers(model, feeds())[0], answers(result, feeds())[0]) > 30


def test_all_nodes_are_kept_where_the_answers_hold():
    choice = DynamicChoice(["sound"])

    keep_answers(choice, fragile_and_sound(), [feeds()], OPTIONS, allowed=1e-3, tick=unhurried)

    assert choice.chosen == ["sound"]


def test_all_nodes_stay_in_float_where_no_error_is_allowed():
    choice = DynamicChoice(["fragile", "sound"])

    keep_answers(choice, fragile_and_sound(), [feeds()], OPTIONS, allowed=1e-12, tick=unhurried)

    assert choice.chosen == []


def test_tiny_nodes_stay_in_float():
    choice = DynamicChoice(["matmul"])

    keep_faster(choice, linear(uniform(4, 4)), {"x": uniform(1, 4)}, OPTIONS, tick=unhurried)

    assert choice.reasons == {"matmul": NO_FASTER}


def test_a_model_that_is_no_faster_keeps_no_node_in_integers():
    model, choice = linear(uniform(4, 4)), DynamicChoice(["matmul"])

    is_kept = keep_fast(
        choice, model, write_dynamic(model, ["matmul"], OPTIONS), [{"x": uniform(1, 4)}]
    )

    assert not is_kept
    assert choice.chosen == []
    assert "integers do not make the model faster" in choice.reasons["matmul"]


class TimeIsUpError(Exception):
    """Stands for what ends a search."""


def too_late():
    raise TimeIsUpError


def test_trials_end_when_the_time_is_up():
    choice = DynamicChoice(["fragile", "sound"])

    with pytest.raises(TimeIsUpError):
        keep_faster(choice, fragile_and_sound(), feeds(), OPTIONS, too_late)
    with pytest.raises(TimeIsUpError):
        keep_answers(choice, fragile_and_sound(), [feeds()], OPTIONS, 1e-12, too_late)
