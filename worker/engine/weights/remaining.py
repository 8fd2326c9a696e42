"""Stores the weights that a method leaves in float: folded, at 8 bits or, where told so, at 16."""

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.calibration.channels import Vector
from worker.engine.half_precision import why_not_half
from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.bias_correction import BiasCorrections
from worker.engine.quantization.weighted_nodes import WeightedNode
from worker.engine.weights.finding import Weight, find_weights
from worker.engine.weights.grids import Grid, per_channel_grid
from worker.engine.weights.scales import FloatArray
from worker.engine.weights.storage import WeightStorage

MINIMUM_VALUES = 512
"""Weights with fewer values stay as they are: the nodes that decode them weigh something too."""


def storable_names(model: onnx.ModelProto) -> set[str]:
    """Return the names of the float weights that are worth storing at 8 bits, or at 16.

    Vectors, such as biases, are left out: they weigh little, and answers depend on them directly.
    So is what holds infinities, but for those that float16 holds.
    """
    return {
        weight.name
        for weight in find_weights(model, MINIMUM_VALUES)
        if prod(weight.tensor.dims) > max(weight.tensor.dims, default=1)
        and (weight.is_finite() or why_not_half(numpy_helper.to_array(weight.tensor)) is None)
    }


def store_remaining(
    model: onnx.ModelProto, names: Collection[str], halves: Collection[str] = ()
) -> list[str]:
    """Store the float weights of these names, in the main graph and in bodies; return the readers.

    Rewrites the model in place. `names` are those of the model before it was quantized, so that
    the scales of its integers are not among them; `halves`, and what holds infinities, are stored
    in 16 bits instead of 8.
    """
    found = [weight for weight in find_weights(model, MINIMUM_VALUES) if weight.name in names]
    storage = WeightStorage(model, NameGiver(taken_names(model)))
    for weight in found:
        if weight.name in halves or not weight.is_finite():
            storage.store_half(weight)
        else:
            storage.store(weight, _grid(weight))
    storage.finish()
    return list(dict.fromkeys(u.node.name or u.node.output[0] for w in found for u in w.uses))


class RemainingWeights:
    """The weights of a float model, and their values once they are stored.

    Args:
        model: the float model.
        corrections: of the biases of the nodes that read them.
    """

    def __init__(self, model: onnx.ModelProto, corrections: BiasCorrections | None = None) -> None:
        self.names = storable_names(model)
        self.corrections = corrections or BiasCorrections({})
        self._values: dict[tuple[str, bool], FloatArray] = {}

    def round(self, model: onnx.ModelProto, halves: Collection[str]) -> onnx.ModelProto:
        """Give those that a model still has in float their values once stored; return it."""
        self._correct_biases(model, halves)
        for weight in find_weights(model, MINIMUM_VALUES):
            if weight.name in self.names:
                values = self._rounded(weight, model, is_half=weight.name in halves)
                weight.tensor.CopyFrom(numpy_helper.from_array(values, weight.name))
        return model

    def store(self, model: onnx.ModelProto, halves: Collection[str]) -> list[str]:
        """Store those that a model still has in float; return the names of their readers."""
        self._correct_biases(model, halves)
        return store_remaining(model, self.names, halves)

    def _correct_biases(self, model: onnx.ModelProto, halves: Collection[str]) -> None:
        """Add to each bias what its node's output lacks once the weight is stored."""
        weights = {w.name: w for w in find_weights(model, MINIMUM_VALUES) if w.name in self.names}

        def is_half(weighted: WeightedNode) -> bool:
            return weighted.weight in halves

        def error(weighted: WeightedNode) -> Vector:
            weight = weights[weighted.weight]
            values = numpy_helper.to_array(weight.tensor).astype(np.float64)
            return values - self._rounded(weight, model, is_half=is_half(weighted))

        self.corrections.apply(model, weights, lambda w: "half" if is_half(w) else "byte", error)

    def _rounded(self, weight: Weight, model: onnx.ModelProto, *, is_half: bool) -> FloatArray:
        key = (weight.name, is_half)
        if key in self._values:
            return self._values[key]
        values = _as_stored(weight, is_half=is_half)
        if weight.is_in_main_graph(model):  # two bodies may each have a weight of one name
            self._values[key] = values
        return values


def _as_stored(weight: Weight, *, is_half: bool) -> FloatArray:
    """Return the values that a runtime computes with once the weight is stored."""
    values = numpy_helper.to_array(weight.tensor)
    is_half = is_half or not weight.is_finite()
    stored = values.astype(np.float16) if is_half else _grid(weight).decode()
    rounded: FloatArray = stored.astype(values.dtype)
    return rounded


def _grid(weight: Weight) -> Grid:
    values = numpy_helper.to_array(weight.tensor).astype(np.float32)
    return per_channel_grid(values, weight.channel_axes)
