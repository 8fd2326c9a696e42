import numpy as np
import pytest

from tests.onnx_models import linear
from worker.engine.inspection import describe
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.preflight.contents import FreeAxis, TrialRun
from worker.engine.preflight.estimates import duration, memory
from worker.engine.preflight.facts import gather_facts


def facts_of(run_seconds, axis=0):
    trial = TrialRun(input_shapes={}, macs=1, duration_seconds=run_seconds, problem=None)
    model = linear(np.eye(2))
    free = [FreeAxis(input="x", axis=axis, symbol=None)]
    facts = gather_facts(model, describe(model, 10**6), trial, [])
    return facts.model_copy(update={"free_axes": free})


def test_a_job_takes_longer_the_longer_a_run_is():
    short, long = (duration(WeightQuantization(), facts_of(seconds)) for seconds in (0.01, 1))

    # At least 20 and at most 300 runs.
    assert long.low - short.low == pytest.approx(20 * 0.99)
    assert long.high - short.high == pytest.approx(300 * 0.99)


def test_a_method_that_measures_more_may_take_longer():
    facts = facts_of(0.1)

    assert duration(StaticQuantization(), facts).high > duration(WeightQuantization(), facts).high


def test_without_a_run_nobody_knows_how_long_a_job_takes():
    assert duration(WeightQuantization(), facts_of(None)) is None


def test_samples_of_any_size_may_take_more():
    batch_only, any_size = facts_of(0.1, axis=0), facts_of(0.1, axis=1)

    assert memory(any_size).high > memory(batch_only).high
    assert memory(any_size).low == memory(batch_only).low
