import numpy as np

from worker.engine.weights.compensation import compensated_rounding, output_error

RANDOM = np.random.default_rng(3)


def correlated_inputs(rows, inputs):
    return RANDOM.normal(size=(rows, 4)) @ RANDOM.normal(size=(4, inputs)) + 0.1 * RANDOM.normal(
        size=(rows, inputs)
    )


def test_with_uncorrelated_inputs_it_rounds_to_nearest():
    weight = RANDOM.normal(size=(6, 40)).astype(np.float32)
    scale = np.full(weight.shape, 0.3, np.float32)

    values = compensated_rounding(weight, scale, np.eye(40), bits=4)

    assert np.array_equal(values, np.clip(np.rint(weight / scale), -8, 7))


def test_with_correlated_inputs_the_output_error_is_several_times_smaller():
    weight = RANDOM.normal(size=(16, 200)).astype(np.float32)
    scale = np.full(weight.shape, 0.3, np.float32)
    inputs = correlated_inputs(500, 200)
    moment = inputs.T @ inputs
    nearest = np.clip(np.rint(weight / scale), -8, 7)

    values = compensated_rounding(weight, scale, moment, bits=4)

    compensated = output_error(weight - scale * values, weight, moment)
    assert compensated < 0.25 * output_error(weight - scale * nearest, weight, moment)


def test_inputs_that_are_always_zero_do_no_harm():
    weight = np.ones((2, 3), np.float32)
    moment = np.diag([1.0, 0.0, 1.0])

    values = compensated_rounding(weight, np.full((2, 3), 0.5, np.float32), moment, bits=4)

    assert values.tolist() == [[2, 2, 2], [2, 2, 2]]


def test_output_error_is_the_power_of_the_output_difference_over_the_output():
    weight = np.array([[1.0, 2.0]], np.float32)
    error = np.array([[0.1, 0.0]], np.float32)
    inputs = np.array([[1.0, 1.0], [2.0, 0.0]])

    measured = output_error(error, weight, inputs.T @ inputs)

    expected = np.square(inputs @ error.T).sum() / np.square(inputs @ weight.T).sum()
    assert np.isclose(measured, expected)
