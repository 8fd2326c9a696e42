"""Which weights too small for scales of their own are stored as float16 instead."""

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.half_precision import FLOAT16_MAX, SMALLEST_NORMAL
from worker.engine.weights.finding import Use, Weight, find_weights

CAST_BYTES = 32
"""Of a Cast, its names left out."""
READERS = {
    "Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GRU", "InstanceNormalization",
    "LayerNormalization", "LSTM", "RNN",
}  # fmt: skip
"""Operators for which 11 bits of a weight do: others may take a table of frequencies or places."""
ADDED = {
    "BatchNormalization": {2, 3}, "Conv": {2}, "ConvTranspose": {2}, "Gemm": {2}, "GRU": {3},
    "InstanceNormalization": {2}, "LayerNormalization": {2}, "LSTM": {3}, "RNN": {3},
}  # fmt: skip
"""Inputs that are added (or subtracted), so that only their largest values have to be exact."""


def small_halves(model: onnx.ModelProto, minimum_values: int) -> list[Weight]:
    """Return the weights with fewer values that are smaller as float16, and lose nothing by it."""
    weights = find_weights(model)
    return [each for each in weights if each.size < minimum_values and is_better_half(each)]


def is_better_half(weight: Weight) -> bool:
    """Return whether a weight's float16 and its Cast take less, and mean the same to its readers.

    Every value keeps 11 bits, but for the smallest of those that are added to something.
    """
    saved = 2 * weight.size - CAST_BYTES - 2 * len(weight.name)
    if weight.tensor.data_type != onnx.TensorProto.FLOAT or saved <= 0 or not weight.uses:
        return False
    if not all(_is_known(use, weight) for use in weight.uses):
        return False
    sizes = np.abs(numpy_helper.to_array(weight.tensor))
    if not np.isfinite(sizes).all() or sizes.max(initial=0) > FLOAT16_MAX:
        return False
    sizes = sizes[sizes > 0]
    if all(_is_added(use) for use in weight.uses):
        return bool(sizes.max(initial=1) >= SMALLEST_NORMAL)
    return bool(sizes.min(initial=1) >= SMALLEST_NORMAL)


def _is_known(use: Use, weight: Weight) -> bool:
    """Return whether a reader takes the weight as a weight or bias; of an Add, one per channel."""
    is_bias = weight.size == max(weight.tensor.dims, default=1)
    return use.node.op_type in READERS and (use.node.op_type != "Add" or is_bias)


def _is_added(use: Use) -> bool:
    return use.node.op_type == "Add" or use.input_index in ADDED.get(use.node.op_type, set())
