import numpy as np
import pytest

from worker.engine.blame.activations import Observed, Rounding, SegmentValues
from worker.engine.blame.pictures import draw
from worker.engine.blame.weights import WeightFacts


def test_a_weight_has_a_histogram_and_the_range_of_its_scale():
    before = np.linspace(-1, 1, 128).reshape(2, 64)
    facts = WeightFacts(
        "w", before, before, np.array(0.01), np.zeros((2, 64), np.int8), zero_point=0,
        channel_axis=0,
    )  # fmt: skip

    [picture] = draw(facts, SegmentValues())

    assert (picture.lowest, picture.highest) == (-1.0, 1.0)
    assert picture.counts == [2] * 64
    assert (picture.range_lowest, picture.range_highest) == (-1.28, 1.27)
    assert picture.clipped_share == 0.0


def test_a_weight_of_many_scales_has_no_range():
    before = np.ones((2, 2))
    facts = WeightFacts("w", before, before, np.array([0.1, 0.2]), None, None, channel_axis=0)

    [picture] = draw(facts, SegmentValues())

    assert (picture.scale, picture.scales, picture.range_lowest) == (0.2, 2, None)
    assert (picture.lowest, picture.highest, picture.counts) == (1.0, 1.0, [4])


def test_an_activation_shows_the_share_that_is_clipped():
    rounding = Rounding("output", "a", "a/float", 0.1, 0, 0.0, 25.5, 256)
    observed = Observed()
    observed.add(np.array([[1.0, 2.0, 3.0, 30.0]], np.float32), rounding)

    [picture] = draw(None, SegmentValues(roundings=[(rounding, observed)]))

    assert picture.clipped_share == pytest.approx(0.25)
    assert sum(picture.counts) == 4
    assert len(picture.counts) <= 64
    assert (picture.range_highest, picture.zero_point) == (25.5, 0)
