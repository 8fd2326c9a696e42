from types import SimpleNamespace

import pytest

from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.search.expecting import Expectations
from worker.engine.search.point import Proposal

STATIC = Proposal("static", [StaticQuantization()])


@pytest.fixture
def expectations():
    """Of 64 calibration samples and a model that runs 1.5 ms and was compared in a second."""
    found = Expectations(SimpleNamespace(samples=SimpleNamespace(calibration=range(64))))
    found.start_from(comparing_seconds=1.0, run_seconds=0.0015)
    return found


def test_the_first_of_a_method_takes_no_less_than_comparing_and_calibrating(expectations):
    weights = Proposal("weights", [WeightQuantization()])

    assert expectations.seconds_of(weights) == 1.0  # 8 bits need no samples
    assert expectations.seconds_of(STATIC) == pytest.approx(1 + 64 * 0.0015)


def test_the_next_of_a_method_takes_as_long_as_the_last(expectations):
    expectations.note(STATIC, 9.0)
    expectations.note(STATIC, 4.0)

    looser = Proposal("looser", [StaticQuantization(fallback_sqnr_db=4)])
    assert expectations.seconds_of(looser) == 4.0
