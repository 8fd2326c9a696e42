import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from worker.engine.weights.scales import (
    nearest,
    representable,
    rounded_to,
    scale_tensor,
    searched_scales,
    type_of,
)

EQUAL = np.ones(1, np.float32)


def error_of(blocks, scale):
    return np.square(blocks - nearest(blocks, scale, 4) * scale).sum()


def test_the_search_clips_an_outlier_that_costs_more_than_it_is_worth():
    blocks = np.linspace(-1, 1, 64, dtype=np.float32)[None]
    blocks[0, 0] = -1.6

    scale = searched_scales(blocks, 1, 4)

    assert scale.item() < 1.6 / 8
    assert error_of(blocks, scale) < error_of(blocks, 1.6 / 8)


def test_the_sign_gives_the_largest_value_the_longer_side():
    """-8 to 7 hold -8 and seven of its eighths exactly, whichever sign the numbers have."""
    blocks = np.array([[8, -7, 3, 1], [-8, 7, -3, -1]], np.float32)

    scale = searched_scales(blocks, 1, 4, EQUAL)

    assert scale.ravel().tolist() == [-1, 1]
    assert error_of(blocks, scale) == 0


def test_what_counts_more_is_rounded_better():
    blocks = np.array([[1.0, 0.93, 0.05, 0.05]], np.float32)
    importance = np.array([[0.0, 1.0, 0.0, 0.0]], np.float32)

    plain, weighed = (searched_scales(blocks, 1, 4, each) for each in (EQUAL, importance))

    errors = [abs(0.93 - (nearest(blocks, each, 4) * each)[0, 1]) for each in (plain, weighed)]
    assert errors[1] < errors[0]


def test_numbers_of_either_sign_are_treated_alike_where_nothing_is_known_of_their_use():
    blocks = np.array([[8, -7, 3, 1], [-8, 7, -3, -1]], np.float32)

    assert (searched_scales(blocks, 1, 4) > 0).all()


def test_eight_bits_reach_to_the_largest_value():
    assert searched_scales(np.array([[1.27, -0.3]], np.float32), 1, 8) == pytest.approx(
        0.01, rel=2**-11
    )


@pytest.mark.parametrize(
    ("scales", "data_type", "digits"),
    [
        ([1.0, 0.3], TensorProto.FLOAT16, 11),
        ([1.0, 0.3e-6], TensorProto.BFLOAT16, 8),
        ([1.0, 3e5], TensorProto.BFLOAT16, 8),
    ],
)
def test_scales_take_two_bytes_whatever_their_range(scales, data_type, digits):
    scales = np.array(scales, np.float32)

    tensor = scale_tensor(representable(scales), "scale")

    assert tensor.data_type == data_type
    assert len(tensor.raw_data) == 4
    stored = numpy_helper.to_array(tensor).astype(np.float32)
    assert np.array_equal(stored, representable(scales))
    assert np.allclose(stored, scales, rtol=2.0**-digits)


def test_scales_that_two_bytes_do_not_hold_stay_as_they_are():
    scales = np.array([1 + 2.0**-20, 1e-30], np.float32)

    tensor = scale_tensor(scales, "scale")

    assert tensor.data_type == TensorProto.FLOAT
    assert np.array_equal(numpy_helper.to_array(tensor), scales)


def test_a_scale_is_never_zero():
    assert representable(np.zeros(2, np.float32)).tolist() == [1, 1]


def test_a_scale_keeps_to_the_type_of_all():
    kept, wanted = np.array([0.5, 0.5], np.float32), np.array([0.3, 1e-6], np.float32)

    assert type_of(representable(np.array([1.0, 1e-6], np.float32))) == "bfloat16"
    assert rounded_to("float16", wanted, kept)[1] == 0.5
    assert rounded_to("bfloat16", wanted, kept) == pytest.approx(wanted, rel=2**-8)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("importance", [None, np.ones((1, 64), np.float32)])
def test_the_lowest_number_of_a_mask_is_finite_when_it_is_decoded(bits, importance):
    mask = np.zeros((1, 64), np.float32)
    mask[0, 32:] = np.finfo(np.float32).min

    scale = searched_scales(mask, 1, bits, importance)

    decoded = nearest(mask, scale, bits) * scale
    assert np.isfinite(decoded).all()
    assert decoded.min() < -1e38
    assert not decoded[0, :32].any()
