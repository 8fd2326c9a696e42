"""Writes one model with different nodes in integers, all by the ranges of one calibration."""

from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.calibration.channels import Vector
from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.bias_correction import BiasCorrections
from worker.engine.quantization.float_islands import keep_islands_float
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.placement import Placement, place
from worker.engine.quantization.qdq import QdqOptions, rounded_weight, write_qdq
from worker.engine.quantization.qoperator import tensors_of, write_qoperator
from worker.engine.quantization.weighted_nodes import WEIGHTED_OP_TYPES, WeightedNode

QuantFormat = Literal["qdq", "qoperator"]


class Written(NamedTuple):
    """A model with some nodes in integers, and how it was made.

    Args:
        model: the quantized model.
        placement: how its nodes were placed.
        activations: the activation of each scale.
        corrected: the nodes whose bias makes up for the rounding of their weight.
    """

    model: onnx.ModelProto
    placement: Placement
    activations: Mapping[str, str]
    corrected: Collection[str] = ()


class StaticWriter:
    """A float model and the nodes of it that may be quantized."""

    def __init__(
        self, model: onnx.ModelProto, chosen: Collection[str], options: QdqOptions
    ) -> None:
        self.model = model
        self.chosen = set(chosen)
        self.options = options
        self.view = GraphView(model.graph)
        self.placement = place(self.view, self.chosen, absorb=self._absorbs)
        self.nodes = {weighted.node.name for weighted in self.placement.weighted}
        self.ranges: dict[str, TensorRange] = {}
        self.counts: dict[str, float] = {}
        """Values of each calibrated activation in one run."""
        self.corrections = BiasCorrections({})
        """Of the biases of nodes in integers."""

    @property
    def _absorbs(self) -> bool:
        return not self.options.activations.is_symmetric

    def tensors(self, quant_format: QuantFormat) -> list[str]:
        """Return the activations whose ranges writing takes."""
        if quant_format == "qdq":
            return self.placement.tensors
        return tensors_of(self.placement, self.view)

    def use_ranges(self, ranges: Mapping[str, TensorRange]) -> None:
        """Take the ranges of the tensors.

        An activation with the scale of another may need its own once that other stays in float.
        """
        shared = self.placement.shared.items()
        borrowed = {name: ranges[root] for name, root in shared if root in ranges}
        self.ranges = {**borrowed, **ranges}

    def write(self, nodes: Collection[str], quant_format: QuantFormat = "qdq") -> Written:
        """Return the model with these of the nodes with weights in integers, all else in float."""
        with_weights = {n.name for n in self.model.graph.node if n.op_type in WEIGHTED_OP_TYPES}
        names = self.chosen - (with_weights - set(nodes))
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        placed = place(GraphView(result.graph), names, absorb=self._absorbs)
        activations: Mapping[str, str] = {}
        if not placed.weighted:
            return Written(result, Placement(), {})
        corrected = self._correct_biases(result, placed)
        if quant_format == "qoperator":
            write_qoperator(result, placed, self.ranges, self.options)
        else:
            activations = write_qdq(result, placed, self.ranges, self.options)
        keep_islands_float(result)
        # Writing renames what the nodes of `placed` read.
        placed = place(self.view, names, absorb=self._absorbs)
        return Written(result, placed, activations, corrected)

    def _correct_biases(self, model: onnx.ModelProto, placed: Placement) -> set[str]:
        """Let biases make up for the rounding of weights; return the nodes whose biases do."""

        def error(weighted: WeightedNode) -> Vector:
            tensor = self.view.initializers[weighted.weight]
            values = np.asarray(numpy_helper.to_array(tensor), np.float32)
            rounded = rounded_weight(values, weighted.channel_axis, self.options)
            return values.astype(np.float64) - rounded

        weights = {weighted.weight for weighted in placed.weighted}
        return self.corrections.apply(model, weights, lambda _: "integers", error)
