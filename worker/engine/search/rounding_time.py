"""How long compensated rounding takes, by the sizes of the layers whose weights it rounds.

`python -m benchmarks.rounding_times` holds it against what it takes.
"""

from math import prod

import onnx

from worker.engine.passes.weight_overrides import wishes
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.weights.finding import STORABLE_TYPES, find_weights
from worker.engine.weights.moments import LARGEST_INPUT, MeanLayer, mean_layers

SECONDS_OF_PATCHES = 4e-4
"""Of one sample and layer: to cut its inputs out of an activation."""
SECONDS_OF_MOMENT = 3e-9
"""Of one sample and pair of inputs: to add up their products."""
SECONDS_OF_INVERTING = 8e-11
"""Of the cube of inputs: to invert their moments."""
SECONDS_OF_ABSORBING = 4.3e-10
"""Of a value and an input: to let others absorb its error."""
SECONDS_OF_VALUE = 6.4e-7
"""Of a value: to find its scale, and to round it several times."""


def collecting_seconds(step: WeightQuantization, model: onnx.ModelProto, samples: int) -> float:
    """Return what the moments of the inputs take, but for running the samples."""
    return sum(
        samples * (SECONDS_OF_PATCHES + groups * SECONDS_OF_MOMENT * inputs**2)
        for groups, _, inputs in _compensated_shapes(step, model)
    )


def rounding_seconds(step: WeightQuantization, model: onnx.ModelProto) -> float:
    """Return what the rounding takes, on one thread of a usual processor."""
    return sum(
        groups
        * inputs
        * (
            SECONDS_OF_INVERTING * inputs**2
            + channels * (SECONDS_OF_ABSORBING * inputs + SECONDS_OF_VALUE)
        )
        for groups, channels, inputs in _compensated_shapes(step, model)
    )


def _compensated_shapes(
    step: WeightQuantization, model: onnx.ModelProto
) -> list[tuple[int, int, int]]:
    """Return (groups, channels, inputs) of each layer whose weight is below 8 bits."""
    weights = find_weights(model, step.minimum_values, STORABLE_TYPES)
    asked = wishes(step.overrides, weights, model)
    below = [
        weight
        for weight, wish in zip(weights, asked, strict=True)
        if (wish.bits or step.bits) in {2, 4}
    ]
    shapes = map(_shape, mean_layers(below, model).values())
    return [shape for shape in shapes if shape[2] <= LARGEST_INPUT]


def _shape(layer: MeanLayer) -> tuple[int, int, int]:
    groups, inputs = layer.sums.shape
    return groups, prod(layer.weight_shape) // (groups * inputs), inputs
