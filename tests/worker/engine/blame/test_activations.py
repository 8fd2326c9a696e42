import numpy as np
import pytest

from tests.engine_runs import answers
from worker.engine.blame.activations import Observed, Rounding, observe, roundings_of
from worker.engine.blame.pairing import Pairing
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization


def test_finds_what_a_segment_rounds_and_the_range(compressed, images):
    pairing = Pairing(compressed(StaticQuantization(fallback="off", calibration_method="minmax")))

    found = {each.what: each for each in roundings_of(pairing, pairing.changed[0])}

    lowest = min(float(feeds["image"].min()) for feeds in images)
    highest = max(float(feeds["image"].max()) for feeds in images)
    assert (found["input"].name, found["output"].name) == ("image", "active")
    assert found["input"].scale == pytest.approx((highest - lowest) / 255, rel=1e-5)
    assert found["input"].lowest == pytest.approx(lowest, abs=found["input"].scale)
    assert (found["output"].lowest, found["output"].levels) == (0.0, 256)


def test_stored_weights_round_no_activation(compressed):
    pairing = Pairing(compressed(WeightQuantization(minimum_values=17)))

    assert [list(roundings_of(pairing, segment)) for segment in pairing.changed] == [[], []]


def test_looks_at_the_values_of_the_original(compressed, images):
    pair = compressed(StaticQuantization(fallback="off"))
    pairing = Pairing(pair)

    seen = observe(pairing, pairing.changed, images)["gemm"]

    scores = np.concatenate([answers(pair.original, feeds)[0] for feeds in images])
    assert seen.output.histogram.count == scores.size
    assert seen.output.peak == pytest.approx(np.abs(scores).max(), rel=1e-5)


def test_tells_rounding_from_clipping():
    rounding = Rounding("input", "a", "a", 1.0, 0, 0.0, 255.0, 256)
    observed = Observed()

    observed.add(np.array([[0.25, 2.0], [265.0, 4.0]], np.float32), rounding)

    assert observed.rounding == pytest.approx(0.25**2)
    assert observed.clipping == pytest.approx(10.0**2)
    assert observed.clipped_share == 0.25


def test_a_channel_of_one_number_over_all_samples_is_dead():
    observed = Observed()

    observed.add(np.array([[[1, 1], [2, 2], [3, 4]]], np.float32), None)
    observed.add(np.array([[[1, 1], [5, 5], [3, 4]]], np.float32), None)

    assert observed.dead_channels == [0]
    assert observed.peaks.tolist() == [1, 5, 4]
