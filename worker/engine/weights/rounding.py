"""Rounds one weight as well as is known how: at 8 bits, or at fewer in blocks."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from worker.engine.weights.compensation import compensated_rounding, output_errors
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import (
    Grid,
    IntArray,
    Layout,
    block_layout,
    per_channel_grid,
    relative_error,
    round_to_grid,
    scales_of,
)
from worker.engine.weights.moments import MultipliedLayer
from worker.engine.weights.scales import SCALE_BITS, FloatArray, type_of

LEAST_IMPORTANCE = 1e-3
"""Of a value, against the mean: even one whose input is always zero counts a little."""


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
        if self.layer is None or not self.layer.moments.any():
            return round_to_grid(self.array, layout, bits, scales_of(self.array, layout, bits))
        return _compensated(self.array, layout, bits, self.layer)

    def error(self, grid: Grid) -> float:
        """Return the relative output error where the inputs are known, else the weight's."""
        if self.layer is None or not self.layer.moments.any():
            return relative_error(self.array, grid)
        error = self.layer.as_matrices(self.array - grid.decode())
        errors = output_errors(error, self.layer.as_matrices(self.array), self.layer.seen_moments())
        return float(np.mean(errors))


def stored_bits(grid: Grid) -> int:
    """Return the stored bits of a grid and its scales."""
    return grid.bits * grid.values.size + SCALE_BITS * grid.scale.size


def _compensated(array: FloatArray, layout: Layout, bits: int, layer: MultipliedLayer) -> Grid:
    """Return a grid whose error the inputs see least, its scales the best for their powers."""
    powers = np.diagonal(layer.seen_moments(), axis1=1, axis2=2)
    importance = (powers / powers.mean() + LEAST_IMPORTANCE).astype(np.float32)
    matrices = layer.as_matrices(array)
    weighting = np.broadcast_to(importance[:, None, :], matrices.shape)
    weighting = cast("FloatArray", layer.from_matrices(weighting))
    scale = scales_of(array, layout, bits, weighting)
    full_scale = np.broadcast_to(scale, layout.shape).reshape(array.shape)
    block = layout.shape[layout.axis] if isinstance(layout.axis, int) else 1
    scales = layer.as_matrices(full_scale)[:, :, ::block]
    values, scales = compensated_rounding(
        matrices, scales, layer.damped_moments(), bits, type_of(scale)
    )
    integers = cast("IntArray", layer.from_matrices(values))
    full = cast("FloatArray", layer.from_matrices(np.repeat(scales, block, axis=2)))
    improved = full.reshape(layout.shape)
    return Grid(
        bits, integers.reshape(layout.shape), _one_of_each_block(improved, layout), array.shape
    )


def _one_of_each_block(full: FloatArray, layout: Layout) -> FloatArray:
    """Return the scales of blocks from those of all their values."""
    return full[tuple(slice(None, 1) if n == 1 else slice(None) for n in layout.scale_shape)]
