import numpy as np
import pytest

from worker.engine.blame.activations import Observed, Rounding, SegmentValues
from worker.engine.blame.explaining import explain
from worker.engine.blame.weights import WeightFacts

EVEN = np.linspace(-1, 1, 4096).reshape(16, 256)
ROUNDING = Rounding("input", "a", "a", 1.0, 0, 0.0, 255.0, 256)


def weight(before, after, scales=16):
    return WeightFacts(
        "w", before, after, np.full(scales, 0.01), None, 0 if scales == 1 else None, channel_axis=0
    )


def values(array, rounding=ROUNDING, **more):
    observed = Observed()
    observed.add(np.asarray(array, np.float32), rounding)
    return SegmentValues(roundings=[(rounding, observed)], **more)


def of_weight(facts, seen=None):
    return explain("node", facts, seen or SegmentValues(), {})


def test_pruned_weights_and_the_energy_they_held():
    after = np.where(np.abs(EVEN) < 0.5, 0, EVEN)

    # the integral of x² up to 1/2 over that up to 1
    assert "50.0% of its weights became zero, which held 12.5% of their energy" in of_weight(
        weight(EVEN, after)
    )


def test_a_channel_that_sets_the_scale_of_all_and_is_dead():
    before = np.ones((16, 16))
    before[3] = 1000
    output = Observed()
    output.add(
        np.stack([np.full(8, 5.0) if c == 3 else np.arange(8) for c in range(16)])[None], None
    )

    words = of_weight(weight(before, before + 1, scales=1), SegmentValues(output=output))

    assert "the weights of output channel 3 reach 1e+03 times as far" in words
    assert "that channel is dead (always 5)" in words


def test_input_channels_that_share_scales():
    before = np.ones((16, 256))
    before[:, :128] = 1e-3

    assert "the weights of input channel 128 reach 1e+03 times" in of_weight(
        weight(before, before + 1e-3)
    )


def test_outliers_of_a_weight():
    before = EVEN.copy()
    before[0, 0] = 10.0

    assert "outliers: the largest weight is 10 times the 99.9th percentile" in of_weight(
        weight(before, before + 0.1)
    )


@pytest.mark.parametrize(
    ("error", "words"), [(0.1, "too few bits for its weights"), (1e-3, "lie evenly")]
)
def test_a_weight_that_has_nothing_special(error, words):
    assert words in of_weight(weight(EVEN, EVEN + error))


def test_values_beyond_the_range():
    words = explain("node", None, values([[100.0, 300.0, 50.0, 20.0]]), {})

    assert words.startswith('saturation: 25.00% of the values of its input "a" lie outside')
    assert "0 to 255" in words


def test_branches_of_a_concat_that_reach_far_from_alike():
    small, large = Observed(), Observed()
    small.add(np.full((1, 4), 2.4, np.float32), None)
    large.add(np.full((1, 4), 240.0, np.float32), None)
    seen = values(
        [[2.4] * 4 + [240.0] * 4],
        branches={"a": {"small": small, "large": large}},
        concats={"a": "joining"},
    )

    words = explain("node", None, seen, {})

    assert (
        'scale mismatch at the Concat "joining": its branches reach 240 and 2.4, 100 times' in words
    )
    assert "leaves the smaller 2 of 256 steps" in words


def test_one_channel_that_reaches_further_than_the_others():
    array = np.full((1, 8, 16), 1.4, np.float32)
    array[:, 5] = 200.3

    words = explain("node", None, values(array), {})

    assert 'channel 5 of its input "a", which is dead (always 200), reaches 143 times' in words


def test_outliers_of_an_activation():
    array = np.full((1, 4000), 10.3, np.float32)
    array[0, 0] = 200.0

    assert "outliers: the largest value of its input" in explain("node", None, values(array), {})


def test_the_cause_that_does_most_harm_is_told():
    facts = weight(EVEN, EVEN + 0.5)
    seen = values([[10.2, 20.4, 200.1, 0.3]])

    by_weight = explain("node", facts, seen, {("node", "w"): 10.0, ("node", "a"): 20.0})
    by_input = explain("node", facts, seen, {("node", "w"): 30.0, ("node", "a"): 20.0})

    assert by_weight.startswith("too few bits for its weights")
    assert by_weight.endswith("the answers 10.0 dB")
    assert 'its input "a"' in by_input
