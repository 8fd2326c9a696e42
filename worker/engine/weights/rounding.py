"""Rounds one weight as well as is known how: at 8 bits, or at fewer in blocks."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from worker.engine.weights.compensation import compensated_rounding, output_error
from worker.engine.weights.finding import Weight
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
from worker.engine.weights.moments import MultipliedLayer


@dataclass(frozen=True)
class Rounding:
    """A weight's values and what is known of how they are used.

    `layer` has the moments of the inputs that are multiplied with the weight; `packed` is the
    layout of its native form, where it is to have that.
    """

    weight: Weight
    array: FloatArray
    layer: MultipliedLayer | None
    packed: Layout | None

    def at_eight_bits(self) -> Grid:
        """Return an 8-bit grid, with a scale for each channel where the weight is not packed."""
        if self.packed is None:
            return per_channel_grid(self.array, self.weight.channel_axes)
        return round_to_grid(self.array, self.packed, 8, scales_of(self.array, self.packed, 8))

    def in_blocks(self, bits: int, block_size: int) -> Grid | None:
        """Return a grid with a scale for each block, its rounding compensated where possible.

        None where the weight cannot be cut into such blocks.
        """
        contraction_first = any(
            use.node.op_type == "MatMul" and use.input_index == 1 for use in self.weight.uses
        ) or (self.layer is not None and self.layer.is_contracted_first)
        layout = self.packed or block_layout(self.array.shape, contraction_first, block_size)
        if layout is None:
            return None
        scale = scales_of(self.array, layout, bits)
        if self.layer is None or not self.layer.moments.any():
            return round_to_grid(self.array, layout, bits, scale)
        return _compensated(self.array, layout, bits, scale, self.layer)

    def error(self, grid: Grid) -> float:
        """Return the relative output error where the inputs are known, else the weight's."""
        if self.layer is None or not self.layer.moments.any():
            return relative_error(self.array, grid)
        errors = [
            output_error(error, weight, moments)
            for error, weight, moments in zip(
                self.layer.as_matrices(self.array - grid.decode()),
                self.layer.as_matrices(self.array),
                self.layer.moments,
                strict=True,
            )
        ]
        return float(np.mean(errors))


def stored_bits(grid: Grid) -> int:
    """Return the stored bits of a grid and its scales."""
    return grid.bits * grid.values.size + 8 * grid.scale.nbytes


def _compensated(
    array: FloatArray, layout: Layout, bits: int, scale: Scales, layer: MultipliedLayer
) -> Grid:
    full_scale = np.broadcast_to(scale.astype(np.float32), layout.shape).reshape(array.shape)
    values = [
        compensated_rounding(matrix, scales, moments, bits)
        for matrix, scales, moments in zip(
            layer.as_matrices(array),
            layer.as_matrices(np.ascontiguousarray(full_scale)),
            layer.moments,
            strict=True,
        )
    ]
    integers = cast("IntArray", layer.from_matrices(np.stack(values)))
    return Grid(bits, integers.reshape(layout.shape), scale, array.shape)
