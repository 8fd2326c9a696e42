import numpy as np

from worker.engine.weights.compensation import compensated_rounding, output_errors

RANDOM = np.random.default_rng(3)


def correlated_inputs(rows, inputs):
    return RANDOM.normal(size=(rows, 4)) @ RANDOM.normal(size=(4, inputs)) + 0.1 * RANDOM.normal(
        size=(rows, inputs)
    )


def nearest(weight, scale):
    return np.clip(np.rint(weight / scale), -8, 7)


def one_scale(weight, scale=0.3):
    return np.full((len(weight), 1), scale, np.float32)


def rounded(weight, scale, moment):
    """Round a layer that is one group."""
    values, scale = compensated_rounding(weight[None], scale[None], moment[None], 4, "float16")
    return values[0], scale[0]


def output_error(error, weight, moment):
    """Return that of a layer that is one group."""
    return output_errors(error[None], weight[None], moment[None])[0]


def test_with_correlated_inputs_the_output_error_is_several_times_smaller():
    weight = RANDOM.normal(size=(16, 200)).astype(np.float32)
    inputs = correlated_inputs(500, 200)
    moment = inputs.T @ inputs

    values, scale = rounded(weight, one_scale(weight), moment)

    compensated = output_error(weight - scale * values, weight, moment)
    plain = output_error(weight - 0.3 * nearest(weight, 0.3), weight, moment)
    assert compensated < 0.2 * plain


def test_no_value_could_be_moved_alone_to_a_smaller_error():
    weight = RANDOM.normal(size=(3, 30)).astype(np.float32)
    inputs = correlated_inputs(200, 30)
    moment = inputs.T @ inputs / 200

    values, scale = rounded(weight, one_scale(weight), moment)

    found = output_error(weight - scale * values, weight, moment)
    moved = [
        output_error(weight - scale * np.clip(values + step, -8, 7), weight, moment)
        for step in single_steps(values.shape)
    ]
    assert found <= min(moved) * 1.02


def single_steps(shape):
    """Return arrays of zeros but for one 1 or -1, at each place in turn."""
    size = int(np.prod(shape))
    ones = np.eye(size, dtype=np.int64).reshape(size, *shape)
    return [*ones, *-ones]


def test_scales_move_to_where_the_weights_are():
    """All weights are multiples of 0.25, and the scale to begin with is 5 % too large."""
    weight = RANDOM.integers(-7, 8, size=(4, 32)).astype(np.float32) * np.float32(0.25)

    values, scale = rounded(weight, one_scale(weight, 0.2625), np.eye(32))

    assert np.allclose(scale, 0.25, rtol=0.001)
    assert np.allclose(scale * values, weight, rtol=0.001)


def test_each_block_has_a_scale_of_its_own():
    weight = np.concatenate([np.full((1, 8), 0.5), np.full((1, 8), 8.0)], axis=1).astype(np.float32)
    scale = np.array([[0.1, 2.0]], np.float32)

    values, scale = rounded(weight, scale, np.eye(16))

    assert np.allclose(values * np.repeat(scale, 8, axis=1), weight, rtol=0.01)


def test_groups_are_rounded_as_layers_of_their_own():
    weight = RANDOM.normal(size=(3, 2, 40)).astype(np.float32)
    inputs = [correlated_inputs(100, 40) for _ in weight]
    moments = np.stack([each.T @ each + np.eye(40) for each in inputs])
    scale = np.full((3, 2, 1), 0.3, np.float32)

    values, scales = compensated_rounding(weight, scale, moments, 4, "float16")

    alone = [rounded(*each) for each in zip(weight, scale, moments, strict=True)]
    assert np.array_equal(values, [each for each, _ in alone])
    assert np.array_equal(scales, [each for _, each in alone])


def test_output_error_is_the_power_of_the_output_difference_over_the_output():
    weight = np.array([[1.0, 2.0]], np.float32)
    error = np.array([[0.1, 0.0]], np.float32)
    inputs = np.array([[1.0, 1.0], [2.0, 0.0]])

    measured = output_error(error, weight, inputs.T @ inputs)

    expected = np.square(inputs @ error.T).sum() / np.square(inputs @ weight.T).sum()
    assert np.isclose(measured, expected)
