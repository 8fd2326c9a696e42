import numpy as np
import pytest

from worker.engine.weights.grids import (
    Layout,
    block_layout,
    per_channel_grid,
    per_channel_layouts,
    round_to_grid,
    scales_of,
)


def test_a_grid_decodes_to_the_nearest_multiples_of_its_scale():
    weight = np.array([[0.9, -0.26, 0.0, 1.27]], np.float32)
    scale = np.array([[0.5]], np.float32)

    grid = round_to_grid(weight, Layout((1, 4), 1), 8, scale)

    assert grid.values.tolist() == [[2, -1, 0, 3]]
    assert grid.decode().tolist() == [[1.0, -0.5, 0.0, 1.5]]


def test_four_bit_values_stay_within_their_range():
    weight = np.array([[10.0, -10.0]], np.float32)

    grid = round_to_grid(weight, Layout((1, 2), 1), 4, np.array([[1.0]], np.float32))

    assert grid.values.tolist() == [[7, -8]]


def test_a_channel_of_zeros_has_a_scale_that_keeps_it_zero():
    weight = np.array([[0.0, 0.0], [1.0, -1.0]], np.float32)
    layout = Layout((2, 2), 1)

    grid = round_to_grid(weight, layout, 8, scales_of(weight, layout, 8))

    assert grid.decode()[0].tolist() == [0.0, 0.0]
    assert np.isfinite(grid.scale).all()


@pytest.mark.parametrize(
    ("shape", "contraction_first", "stored"),
    [
        ((384, 1536), True, (12, 32, 1536)),
        ((64, 24, 2, 2), True, (2, 32, 96)),
        ((64, 3, 3, 3), False, (64, 1, 27)),
        ((128, 24, 3, 3), False, (128, 6, 36)),
        ((10, 134), False, (10, 2, 67)),
        ((10, 74), False, (10, 2, 37)),
        ((10, 127), False, (10, 1, 127)),
        ((10, 521), False, None),
    ],
)
def test_blocks_divide_the_contraction_evenly(shape, contraction_first, stored):
    layout = block_layout(shape, contraction_first, 32)

    assert (layout and layout.shape) == stored


def test_every_axis_is_a_candidate_channel_and_lstm_rows_too():
    shapes = {layout.scale_shape for layout in per_channel_layouts((2, 8, 4))}

    assert shapes == {(), (2, 1, 1), (1, 8, 1), (1, 1, 4), (2, 8, 1)}


def test_an_input_with_tiny_weights_keeps_them():
    """MatMul's (K, N): beside rows of 1, a scale for each column would round a row of 1e-3 to 0."""
    weight = np.ones((4, 8), np.float32)
    weight[0] = 1e-3

    grid = per_channel_grid(weight, (1,))

    assert np.allclose(grid.decode(), weight, rtol=0.01)
