"""Weight quantization: weights stored at 8, 4 or 2 bits, computed with in float."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
import onnx
from onnx import numpy_helper
from pydantic import Field
from typing_extensions import override

from worker.engine.errors import PassError
from worker.engine.names import NameGiver, taken_names
from worker.engine.passes.base import Pass, PassContext, PassResult
from worker.engine.quantization.working_copy import name_nodes, refuse_quantized
from worker.engine.weights.compensation import compensated_rounding, output_error
from worker.engine.weights.finding import Weight, find_weights
from worker.engine.weights.folding import unfolded_values
from worker.engine.weights.grids import (
    FloatArray,
    Grid,
    IntArray,
    Layout,
    Scales,
    block_layout,
    per_channel_grid,
    relative_error,
    round_to_grid,
    scales_of,
)
from worker.engine.weights.moments import MultipliedLayer, collect, multiplied_layers
from worker.engine.weights.native import NATIVE_BITS, faster_packed, native_layout
from worker.engine.weights.storage import MINIMUM_OPSETS, NATIVE_OPSET, WeightStorage

DEFAULT_AVERAGE_BITS = {8: 9.0, 4: 4.75, 2: 3.0}


@dataclass
class Choice:
    """A weight with its grid at the asked bits and, where that is fewer, at 8 bits."""

    weight: Weight
    grid: Grid
    error: float
    fallback: Grid
    fallback_error: float
    is_packed: bool
    """Whether the runtime multiplies with the integers themselves."""

    @property
    def gain_per_bit(self) -> float:
        """Error removed for each bit that the 8-bit grid costs more."""
        return (self.error - self.fallback_error) / (_bits(self.fallback) - _bits(self.grid))

    def take_fallback(self) -> None:
        """Use the 8-bit grid."""
        self.grid, self.error = self.fallback, self.fallback_error


class WeightQuantization(Pass):
    """Stores weights at 8, 4 or 2 bits and computes with them in float.

    onnxruntime turns the stored integers back into floats when it loads the model, so the file
    becomes about 4 times (8 bits) or 6 to 7 times (4 bits) smaller while speed and memory at run
    time stay as they were. Every constant float weight takes part: of Conv, MatMul, Gemm, Gather,
    recurrent and any other nodes, inside If, Loop and Scan bodies too. Needs no data at 8 bits; at
    4 bits and below calibration data improves the rounding.
    """

    method: Literal["weight_quantization"] = "weight_quantization"

    bits: Literal[8, 4, 2] = 8
    """Bits of each stored value."""
    average_bits: Annotated[float, Field(ge=2, le=16)] | None = None
    """Below 8 bits, the weights that suffer most are kept at 8 bits as long as the average over
    all weights, scales included, stays at or below this; left out, 4.75 (3 for 2 bits)."""
    block_size: Annotated[int, Field(ge=8, le=256)] = 32
    """Below 8 bits, about how many values share a scale."""
    error_compensation: bool = True
    """Below 8 bits and with calibration data, let later values of a row absorb the rounding error
    of earlier ones, as the data weighs it (GPTQ)."""
    runtime_form: Literal["auto", "folded", "native"] = "auto"
    """`folded` weights become floats when the model is loaded; `native` ones, of MatMul and Gemm,
    stay packed (MatMulNBits), which needs less memory, is faster for a few rows and slower for
    many, and rounds activations too. `auto` times each node in both forms on the calibration data,
    where the model has opset 21; without data all are folded."""
    minimum_values: Annotated[int, Field(ge=1)] = 512
    """Weights with fewer values stay in float: their scales would cost more than is saved."""

    needs_samples: ClassVar[bool] = True

    @override
    def required_opset(self) -> int:
        opset = MINIMUM_OPSETS[self.bits]
        return max(opset, NATIVE_OPSET) if self.runtime_form == "native" else opset

    @override
    def apply(self, model: onnx.ModelProto, context: PassContext) -> PassResult:
        compressed = onnx.ModelProto()
        compressed.CopyFrom(model)
        name_nodes(compressed)
        weights = find_weights(compressed, self.minimum_values)
        if not weights:
            refuse_quantized(model)
            raise PassError(
                f"no constant float weight has {self.minimum_values} values or more; lower "
                "minimum_values, or leave the model as it is",
                code="nothing_to_compress",
            )
        layers = self._collect_moments(compressed, weights, context)
        packed = self._packed_layouts(compressed, weights, context)
        choices = []
        for index, weight in enumerate(weights):
            choices.append(self._choose(weight, layers.get(weight.name), packed.get(weight.name)))
            context.report_progress("compressing", (index + 1) / len(weights))
        upgraded = self._spend_budget(choices)
        storage = WeightStorage(compressed, NameGiver(taken_names(compressed)))
        for choice in choices:
            write = storage.keep_packed if choice.is_packed else storage.store
            write(choice.weight, choice.grid)
        computed = unfolded_values(compressed, storage.finish(), context.workdir)
        lists = {
            "kept at 8 bits, as they gain most": upgraded,
            "multiplied with in their packed form": [c.weight.name for c in choices if c.is_packed],
            "decoded at every run, as onnxruntime did not fold": sorted(computed),
        }
        notes = [f"{what}: {', '.join(names)}" for what, names in lists.items() if names]
        changed = [use.node.name or use.node.output[0] for w in weights for use in w.uses]
        return PassResult(compressed, list(dict.fromkeys(changed)), notes=notes)

    def _packed_layouts(
        self, model: onnx.ModelProto, weights: list[Weight], context: PassContext
    ) -> dict[str, Layout]:
        """Return the layouts of the weights to keep packed at run time, by name."""
        if self.runtime_form == "folded" or self.bits not in NATIVE_BITS:
            return {}
        layouts = {w.name: native_layout(w, model, self.block_size) for w in weights}
        possible = {name: layout for name, layout in layouts.items() if layout is not None}
        if self.runtime_form == "native" or not possible:
            return possible
        if context.samples.origin == "synthetic" or context.execution_provider != "cpu":
            return {}
        sample = next(iter(context.samples), None)
        if sample is None:
            return {}
        faster = faster_packed(model, weights, sample.feeds, self.bits, self.block_size)
        return {name: layout for name, layout in possible.items() if name in faster}

    def _collect_moments(
        self, model: onnx.ModelProto, weights: list[Weight], context: PassContext
    ) -> dict[str, MultipliedLayer]:
        """Return the input moments of the layers, none where they are not used or not real."""
        if self.bits == 8 or not self.error_compensation or context.samples.origin == "synthetic":
            return {}
        layers = multiplied_layers(weights, model)
        if layers:
            collect(
                model,
                layers,
                context.samples,
                lambda fraction: context.report_progress("calibrating", fraction),
            )
        return layers

    def _choose(
        self, weight: Weight, layer: MultipliedLayer | None, packed: Layout | None
    ) -> Choice:
        array = numpy_helper.to_array(weight.tensor).astype(np.float32)
        if packed is None:
            fallback = per_channel_grid(array, weight.channel_axes)
        else:
            fallback = round_to_grid(array, packed, 8, scales_of(array, packed, 8))
        grid = fallback if self.bits == 8 else self._block_grid(weight, array, layer, packed)
        if grid.values.size == 0 or _bits(grid) >= _bits(fallback):
            grid = fallback
        error, fallback_error = _error(array, grid, layer), _error(array, fallback, layer)
        return Choice(weight, grid, error, fallback, fallback_error, packed is not None)

    def _block_grid(
        self,
        weight: Weight,
        array: FloatArray,
        layer: MultipliedLayer | None,
        packed: Layout | None,
    ) -> Grid:
        """Return a grid with a scale for each block, its rounding compensated where possible."""
        contraction_first = any(
            use.node.op_type == "MatMul" and use.input_index == 1 for use in weight.uses
        ) or (layer is not None and layer.is_contracted_first)
        layout = packed or block_layout(array.shape, contraction_first, self.block_size)
        if layout is None:
            return per_channel_grid(array, weight.channel_axes)
        scale = scales_of(array, layout, self.bits)
        if layer is None or not layer.moments.any():
            return round_to_grid(array, layout, self.bits, scale)
        return self._compensated_grid(array, layout, scale, layer)

    def _compensated_grid(
        self, array: FloatArray, layout: Layout, scale: Scales, layer: MultipliedLayer
    ) -> Grid:
        full_scale = np.broadcast_to(scale.astype(np.float32), layout.shape).reshape(array.shape)
        values = [
            compensated_rounding(matrix, scales, moments, self.bits)
            for matrix, scales, moments in zip(
                layer.as_matrices(array),
                layer.as_matrices(np.ascontiguousarray(full_scale)),
                layer.moments,
                strict=True,
            )
        ]
        integers = cast("IntArray", layer.from_matrices(np.stack(values)))
        return Grid(self.bits, integers.reshape(layout.shape), scale, array.shape)

    def _spend_budget(self, choices: list[Choice]) -> list[str]:
        """Move the weights that gain most to 8 bits while the average allows it."""
        total = sum(choice.weight.size for choice in choices)
        budget = (self.average_bits or DEFAULT_AVERAGE_BITS[self.bits]) * total
        spent = sum(_bits(choice.grid) for choice in choices)
        upgraded = []
        candidates = [c for c in choices if _bits(c.fallback) > _bits(c.grid)]
        for choice in sorted(candidates, key=lambda c: c.gain_per_bit, reverse=True):
            extra = _bits(choice.fallback) - _bits(choice.grid)
            if spent + extra <= budget:
                choice.take_fallback()
                spent += extra
                upgraded.append(choice.weight.name)
        return upgraded


def _bits(grid: Grid) -> int:
    """Return the stored bits of a grid and its scales."""
    return grid.bits * grid.values.size + 8 * grid.scale.nbytes


def _error(array: FloatArray, grid: Grid, layer: MultipliedLayer | None) -> float:
    """Return the relative output error where the inputs are known, else the weight's."""
    if layer is None or not layer.moments.any():
        return relative_error(array, grid)
    errors = [
        output_error(error, weight, moments)
        for error, weight, moments in zip(
            layer.as_matrices(array - grid.decode()),
            layer.as_matrices(array),
            layer.moments,
            strict=True,
        )
    ]
    return float(np.mean(errors))
