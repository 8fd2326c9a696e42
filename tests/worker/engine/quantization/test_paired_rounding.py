import numpy as np
import pytest

from worker.engine.quantization.paired_rounding import paired_rounding


def weights(*shape):
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def pair_sums(integers):
    count = len(integers) // 2 * 2
    return np.abs(integers[0:count:2].astype(int) + integers[1:count:2])


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
@pytest.mark.parametrize("per_channel", [True, False])
def test_no_pair_of_rows_adds_up_to_more_than_128(rows, per_channel):
    integers, _ = paired_rounding(weights(rows, 40), per_channel=per_channel)

    assert pair_sums(integers).max(initial=0) <= 128


def test_neighbours_of_different_signs_keep_all_bits():
    weight = np.array([[1.0], [-1.0]], np.float32)

    integers, scale = paired_rounding(weight, per_channel=True)

    assert integers.tolist() == [[127], [-127]]
    assert scale == pytest.approx([1 / 127])


def test_equal_neighbours_keep_seven_bits():
    weight = np.ones((2, 1), np.float32)

    integers, scale = paired_rounding(weight, per_channel=True)

    assert integers.tolist() == [[64], [64]]
    assert scale == pytest.approx([1 / 64])


def test_the_error_is_well_below_that_of_seven_bits():
    weight = weights(256, 32)
    step = np.abs(weight).max(axis=0) / 64

    integers, scale = paired_rounding(weight, per_channel=True)

    of_seven_bits = np.square(weight - np.rint(weight / step) * step).sum()
    assert np.square(weight - integers * scale).sum() < 0.6 * of_seven_bits


def test_one_scale_for_all_channels():
    integers, scale = paired_rounding(weights(8, 4), per_channel=False)

    assert scale.shape == ()
    assert integers.shape == (8, 4)


def test_channels_of_zeros_stay_zero():
    integers, scale = paired_rounding(np.zeros((4, 2), np.float32), per_channel=True)

    assert not integers.any()
    assert (scale > 0).all()
