import numpy as np
import pytest

from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.integers import (
    IntegerType,
    quantize,
    scale_of_range,
    scale_of_weight,
)


@pytest.mark.parametrize(
    ("kind", "bounds"),
    [
        (IntegerType("uint8", is_symmetric=False), (0, 255)),
        (IntegerType("int8", is_symmetric=False), (-128, 127)),
        (IntegerType("int8", is_symmetric=True), (-127, 127)),
        (IntegerType("uint8", is_symmetric=True), (1, 255)),
        (IntegerType("int8", is_symmetric=True, reduce_range=True), (-64, 64)),
        (IntegerType("uint8", is_symmetric=True, reduce_range=True), (64, 192)),
        (IntegerType("uint8", is_symmetric=False, reduce_range=True), (0, 127)),
        (IntegerType("int16", is_symmetric=True), (-32767, 32767)),
    ],
)
def test_bounds_of_each_type(kind, bounds):
    assert kind.bounds == bounds


def test_asymmetric_range_is_divided_into_all_integers():
    scale = scale_of_range(TensorRange(-1.0, 1.55), IntegerType("uint8", is_symmetric=False))

    assert scale.scale == pytest.approx(0.01)
    assert scale.zero_point == 100


def test_symmetric_range_has_its_zero_point_in_the_middle():
    scale = scale_of_range(TensorRange(-1.0, 1.27), IntegerType("int8", is_symmetric=True))

    assert scale.scale == pytest.approx(0.01)
    assert scale.zero_point == 0


def test_a_range_of_nothing_but_zero_has_scale_one():
    scale = scale_of_range(TensorRange(0.0, 0.0), IntegerType("uint8", is_symmetric=False))

    assert scale.scale == 1
    assert scale.zero_point == 0


def test_each_channel_has_its_own_scale():
    kind = IntegerType("int8", is_symmetric=True)
    weight = np.array([[1.27, -0.5], [12.7, 3.0]], np.float32)

    scale = scale_of_weight(weight, 0, kind)
    integers = quantize(weight, scale, 0, kind)

    assert scale.scale == pytest.approx([0.01, 0.1])
    assert integers.tolist() == [[127, -50], [127, 30]]
    assert integers.dtype == np.int8


def test_values_outside_the_range_are_clipped():
    kind = IntegerType("uint8", is_symmetric=False)
    scale = scale_of_range(TensorRange(0.0, 2.55), kind)

    assert quantize(np.array([-1.0, 9.0], np.float32), scale, None, kind).tolist() == [0, 255]
