from types import SimpleNamespace

import pytest

from tests.onnx_models import small_convnet
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.expecting import Expectations
from worker.engine.search.point import Proposal
from worker.engine.search.rounding_time import collecting_seconds, rounding_seconds

FOUR = WeightQuantization(bits=4)
STATIC = Proposal("static", [StaticQuantization()])


def expected(seconds_each):
    samples = SimpleNamespace(calibration=range(64), evaluation=range(20))
    prepared = SimpleNamespace(model=small_convnet())
    scoring = SimpleNamespace(references=SimpleNamespace(seconds_each=seconds_each))
    original = SimpleNamespace(samples=samples, scoring=scoring, prepared_for=lambda _: prepared)
    found = Expectations(original)
    found.start_from(comparing_seconds=0.5, run_seconds=0.01)
    return found


@pytest.fixture
def expectations():
    """Of 64 calibration and 20 other samples, and a model that runs 10 ms."""
    return expected(None)


def test_samples_that_were_run_together_tell_what_running_them_takes():
    weights = Proposal("weights", [WeightQuantization()])

    assert expected(0.002).seconds_of(weights) == pytest.approx(0.5 + 0.04)
    assert expected(0.05).seconds_of(weights) == pytest.approx(0.5 + 0.2)


def test_the_first_of_a_method_takes_no_less_than_comparing_and_calibrating(expectations):
    weights = Proposal("weights", [WeightQuantization()])

    assert expectations.seconds_of(weights) == pytest.approx(0.5 + 0.2)  # 8 bits need no samples
    assert expectations.seconds_of(STATIC) == pytest.approx(0.5 + 0.2 + 0.64)


def test_the_next_of_a_method_may_be_as_quick_as_the_quickest(expectations):
    expectations.note(STATIC, 4.0)
    expectations.note(STATIC, 9.0)

    looser = Proposal("looser", [StaticQuantization(fallback_sqnr_db=4)])
    assert expectations.seconds_of(looser) == 4.0


def test_what_failed_at_once_does_not_make_the_next_quicker_than_comparing(expectations):
    expectations.note(STATIC, 0.01)

    assert expectations.seconds_of(STATIC) == pytest.approx(0.7)


def test_compensated_rounding_comes_on_top_of_the_quickest_of_its_method(expectations):
    expectations.note(Proposal("weights", [WeightQuantization()]), 4.0)
    model = small_convnet()
    collecting, rounding = collecting_seconds(FOUR, model, 64), rounding_seconds(FOUR, model)
    nearest = FOUR.model_copy(update={"error_compensation": False})

    assert rounding > 0
    assert expectations.seconds_of(Proposal("nearest", [nearest])) == 4.0
    careful = expectations.seconds_of(Proposal("careful", [FOUR]))
    assert careful == pytest.approx(4.0 + 0.64 + collecting + rounding)


def test_what_was_rounded_once_need_not_be_again(expectations):
    expectations.note(Proposal("careful", [FOUR]), 4.0)
    larger = FOUR.model_copy(update={"block_size": 64})

    assert expectations.seconds_of(Proposal("again", [FOUR])) == 4.0
    assert expectations.seconds_of(Proposal("larger", [larger])) == pytest.approx(
        4.0 + rounding_seconds(larger, small_convnet())
    )
