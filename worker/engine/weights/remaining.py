"""Stores the weights that a method leaves in float: folded, at 8 bits."""

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.names import NameGiver, taken_names
from worker.engine.weights.finding import find_weights
from worker.engine.weights.grids import per_channel_grid
from worker.engine.weights.storage import WeightStorage

MINIMUM_VALUES = 512
"""Weights with fewer values stay as they are: the nodes that decode them weigh something too."""


def storable_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of the float weights that are worth storing at 8 bits.

    Vectors, such as biases, are left out: they weigh little, and answers depend on them directly.
    """
    return {
        weight.name
        for weight in find_weights(model, MINIMUM_VALUES)
        if prod(weight.tensor.dims) > max(weight.tensor.dims, default=1)
    }


def store_remaining(model: onnx.ModelProto, names: Collection[str]) -> list[str]:
    """Store the float weights of these names, in the main graph and in bodies; return the readers.

    Rewrites the model in place. `names` are those of the model before it was quantized, so that
    the scales of its integers are not among them.
    """
    found = [weight for weight in find_weights(model, MINIMUM_VALUES) if weight.name in names]
    storage = WeightStorage(model, NameGiver(taken_names(model)))
    for weight in found:
        values = numpy_helper.to_array(weight.tensor).astype(np.float32)
        storage.store(weight, per_channel_grid(values, weight.channel_axes))
    storage.finish()
    return list(dict.fromkeys(u.node.name or u.node.output[0] for w in found for u in w.uses))
