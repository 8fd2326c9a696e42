"""Rounds a part of a weight in place of all of it, for the sizes and errors of its grids."""

from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import numpy_helper
from typing_extensions import override

from worker.engine.samples import Array
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid
from worker.engine.weights.rounding import Rounding

MOST_VALUES = 2**14
"""Kept of one weight, where its channels are not more."""
LEAST_ALONG_AXIS = 8


@dataclass(frozen=True)
class SampledGrid(Grid):
    """A whole weight's grid in shape and type only, and the grid of a part of the weight."""

    part: Grid


@dataclass(frozen=True)
class SampledRounding(Rounding):
    """Rounding of `array`, which is some channels of the weight."""

    shape: tuple[int, ...]
    """Of the whole weight."""
    axis: int
    """That the channels were taken along."""
    block_axis: int
    """Where that axis is once the weight is cut in blocks."""

    @override
    def at_eight_bits(self) -> Grid:
        return self._whole(super().at_eight_bits())

    @override
    def in_blocks(self, bits: int, block_size: int) -> Grid | None:
        part = super().in_blocks(bits, block_size)
        return None if part is None else self._whole(part)

    @override
    def error(self, grid: Grid) -> float:
        return super().error(part_of(grid))

    def _whole(self, part: Grid) -> SampledGrid:
        """Return the grid that the whole weight would get in the layout of the part's."""
        axis, shape = self.axis, self.shape
        if part.values.shape != self.array.shape:
            axis = self.block_axis
            others = prod(part.values.shape) // part.values.shape[axis]
            length = prod(self.shape) // others
            shape = tuple(length if i == axis else n for i, n in enumerate(part.values.shape))
        scale_shape = tuple(
            shape[i] if i == axis and size > 1 else size for i, size in enumerate(part.scale.shape)
        )
        return SampledGrid(
            part.bits,
            np.broadcast_to(np.int8(0), shape),
            np.broadcast_to(np.float32(1), scale_shape),
            self.shape,
            part,
        )


def part_of(grid: Grid) -> Grid:
    """Return the grid of the part that was rounded, which may be all of the weight."""
    return grid.part if isinstance(grid, SampledGrid) else grid


def round_sample(weight: Weight) -> Rounding:
    """Return what rounds a weight, or some of its channels where it is large."""
    array = numpy_helper.to_array(weight.tensor)
    axis, block_axis = _channel_axis(weight, array)
    part = spread(array, axis)
    values = part.astype(np.float32)
    if part.shape == array.shape:
        return Rounding(weight, values, None, None)
    return SampledRounding(weight, values, None, None, array.shape, axis, block_axis)


def spread(array: Array, axis: int, chosen: int = 0) -> Array:
    """Return evenly spaced slices across an axis, a chosen one among them; all of a small array."""
    length = array.shape[axis]
    count = max(LEAST_ALONG_AXIS, MOST_VALUES * length // max(1, array.size))
    if count >= length:
        return array
    places = np.linspace(0, length - 1, count).astype(np.int64)
    places[np.argmin(np.abs(places - chosen))] = chosen
    return np.ascontiguousarray(np.take(array, places, axis=axis))


def _channel_axis(weight: Weight, array: Array) -> tuple[int, int]:
    """Return an axis that neither blocks nor the sums of scales run along, and its place in blocks.

    Blocks are (blocks, values, channels) for MatMul, else (channels, blocks, values).
    """
    if any(use.node.op_type == "MatMul" and use.input_index == 1 for use in weight.uses):
        return array.ndim - 1, 2
    is_recurrent = array.ndim > 2 and array.shape[1] > array.shape[0]
    return (1, 1) if is_recurrent else (0, 0)
