import numpy as np
import pytest

from worker.engine.calibration.channels import MapChannels, RowChannels


def test_maps_have_their_channels_on_the_second_axis():
    seen = MapChannels()
    seen.update(np.array([[[1.0, 3.0], [5.0, 7.0]]], np.float32))
    seen.update(np.array([[[8.0, 8.0], [0.0, -9.0]]], np.float32))

    assert (seen.lows.tolist(), seen.highs.tolist()) == ([1, -9], [8, 7])
    assert seen.largest.tolist() == [8, 9]
    assert seen.means.tolist() == [5, 0.75]
    assert seen.mean_squares.tolist() == [34.5, 38.75]


def test_rows_have_their_channels_on_the_last_axis_whatever_their_shape():
    seen = RowChannels()
    seen.update(np.array([[1.0, -2.0]], np.float32))
    seen.update(np.array([[[3.0, 4.0]], [[0.0, 0.0]]], np.float32))

    assert (seen.lows.tolist(), seen.highs.tolist()) == ([0, -2], [3, 4])
    assert seen.mean_squares == pytest.approx([10 / 3, 20 / 3])


def test_squares_of_half_floats_do_not_overflow():
    seen = MapChannels()
    seen.update(np.full((1, 2, 3), 1000, np.float16))

    assert seen.mean_squares.tolist() == [1e6, 1e6]
