"""Which weights onnxruntime can multiply with in their packed form, and where that is faster."""

from collections.abc import Collection
from math import prod

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from worker.engine.graphs import default_opset
from worker.engine.names import NameGiver, taken_names
from worker.engine.node_trials import NodeTrials
from worker.engine.samples import Feeds
from worker.engine.weights.finding import Use, Weight, find_weights
from worker.engine.weights.grids import Layout, block_layout, round_to_grid, scales_of
from worker.engine.weights.storage import NATIVE_OPSET, WeightStorage

BLOCK_SIZES = {16, 32, 64, 128, 256}
"""What com.microsoft.MatMulNBits takes (onnxruntime docs/ContribOperators.md)."""
NATIVE_BITS = {4, 8}
FEWEST_VALUES = 2**14
"""Of a weight whose node is worth timing: of smaller ones the call takes most of the time, and the
machine's noise decides."""
FASTER_RATIO = 0.9
"""Latency of a node over that in float at which its packed form is worth its rounding."""


def native_layout(weight: Weight, model: onnx.ModelProto, block_size: int) -> Layout | None:
    """Return the layout of a weight's packed form; None where its node has none."""
    use = weight.only_use(model)
    if default_opset(model) < NATIVE_OPSET or use is None:
        return None
    shape = tuple(weight.tensor.dims)
    is_matrix = len(shape) == 2 and weight.tensor.data_type == TensorProto.FLOAT
    if not is_matrix or not _multiplies_columns(use):
        return None
    layout = block_layout(shape, contraction_first=True, block_size=block_size)
    return layout if layout is not None and layout.shape[1] in BLOCK_SIZES else None


def faster_packed(
    model: onnx.ModelProto, weights: Collection[Weight], feeds: Feeds, bits: int, block_size: int
) -> set[str]:
    """Return the names of the weights whose node is faster on the packed form, as timed alone."""
    readers = {
        weight.uses[0].node.name: weight.name
        for weight in weights
        if weight.uses
        and prod(weight.tensor.dims) >= FEWEST_VALUES
        and native_layout(weight, model, block_size) is not None
    }
    if not readers:
        return set()
    trials = NodeTrials(model, readers, feeds, lambda single, _: _packed(single, bits, block_size))
    return {name for node, name in readers.items() if trials.latency_ratio(node) <= FASTER_RATIO}


def _packed(model: onnx.ModelProto, bits: int, block_size: int) -> onnx.ModelProto:
    """Return a copy of a small model with each weight packed that can be."""
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    storage = WeightStorage(packed, NameGiver(taken_names(packed)))
    for weight in find_weights(packed):
        layout = native_layout(weight, packed, block_size)
        if layout is not None:
            values = numpy_helper.to_array(weight.tensor).astype(np.float32)
            # The plainest scales: only the time counts here.
            scale = scales_of(values, layout, 8)
            storage.keep_packed(weight, round_to_grid(values, layout, bits, scale))
    storage.finish()
    return packed


def _multiplies_columns(use: Use) -> bool:
    """Return whether a MatMul or a plain Gemm multiplies with the weight, as its (K, N)."""
    attributes = {attribute.name: attribute for attribute in use.node.attribute}
    is_transposed = any(attributes[n].i for n in ("transA", "transB") if n in attributes)
    is_scaled = any(attributes[n].f != 1 for n in ("alpha", "beta") if n in attributes)
    return (
        use.input_index == 1
        and use.node.op_type in {"MatMul", "Gemm"}
        and not is_transposed
        and not is_scaled
    )
