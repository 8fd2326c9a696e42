"""Rounds a weight to a grid of few bits: how it is cut into blocks, and with which scales."""

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from worker.engine.weights.scales import FloatArray, nearest, searched_scales

IntArray = npt.NDArray[np.int8]

LOST_SLICE = 0.05
"""Relative error of a slice of a weight from which on it says little."""


@dataclass(frozen=True)
class Layout:
    """How a weight is stored: its values reshaped to `shape`, one scale along `axis`.

    The scales have the stored shape with 1 at `axis`; an `axis` of None is one scale for all.
    """

    shape: tuple[int, ...]
    axis: int | tuple[int, ...] | None

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """The shape of the scales, which broadcasts against `shape`."""
        if self.axis is None:
            return ()
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        return tuple(1 if i in axes else size for i, size in enumerate(self.shape))

    def bits_per_value(self, bits: int) -> float:
        """Return the stored bits of a value, its share of a 16-bit scale included."""
        return bits + 16 * prod(self.scale_shape) / prod(self.shape)


@dataclass(frozen=True)
class Grid:
    """A weight on its grid: `weight = (values * scale).reshape(weight_shape)`.

    `values` are integers in [-2^(bits-1), 2^(bits-1)), kept as int8 whatever `bits`.
    """

    bits: int
    values: IntArray
    scale: FloatArray
    weight_shape: tuple[int, ...]

    def decode(self) -> FloatArray:
        """Return the weight that a runtime computes with."""
        decoded: FloatArray = self.values.astype(np.float32) * self.scale
        return decoded.reshape(self.weight_shape)


def per_channel_layouts(shape: tuple[int, ...]) -> list[Layout]:
    """Return the layouts that keep a weight's own shape: one scale in all, or one a channel.

    Every axis is a candidate, because which one is the channel depends on the node (Conv 0,
    ConvTranspose 1, MatMul last, LSTM the first two), and the error tells.
    """
    layouts = [Layout(shape, None)]
    for kept in range(len(shape)):
        reduced = tuple(i for i in range(len(shape)) if i != kept)
        if reduced and shape[kept] > 1:
            layouts.append(Layout(shape, reduced))
    if len(shape) == 3:
        layouts.append(Layout(shape, 2))
    return layouts


SMALLER, LARGER = 4, 16
"""Blocks are at least a quarter of the size that is asked for, and at most so many times it."""


def block_layout(shape: tuple[int, ...], contraction_first: bool, block_size: int) -> Layout | None:
    """Return the layout with one scale for about `block_size` values along the contraction.

    `contraction_first` is MatMul's `(K, N)` and ConvTranspose's `(K, M...)`; otherwise a weight is
    `(M, K...)`, as Conv's. Blocks divide K evenly, so that nothing is padded. Where no size from
    half to double does, smaller and far larger ones serve; None is left for a long prime K.
    """
    rows, columns = shape[0], prod(shape[1:])
    length, channels = (rows, columns) if contraction_first else (columns, rows)
    sizes = [n for n in range(block_size // 2, 2 * block_size + 1) if length % n == 0]
    if length < 2 * block_size:
        sizes.append(length)
    if not sizes:
        others = range(max(block_size // SMALLER, 2), LARGER * block_size + 1)
        sizes = [n for n in others if length % n == 0]
    if not sizes:
        return None
    size = min(sizes, key=lambda n: (abs(n - block_size), n))
    if contraction_first:
        return Layout((length // size, size, channels), 1)
    return Layout((channels, length // size, size), 2)


def scales_of(
    weight: FloatArray, layout: Layout, bits: int, importance: FloatArray | None = None
) -> FloatArray:
    """Return the scales that suit a weight best, in a type that a file holds in two bytes.

    `importance` of the squared error of each value has the weight's shape; None: it is not known.
    """
    weighting = None if importance is None else importance.reshape(layout.shape)
    return searched_scales(weight.reshape(layout.shape), layout.axis, bits, weighting)


def round_to_grid(weight: FloatArray, layout: Layout, bits: int, scale: FloatArray) -> Grid:
    """Return the nearest grid values of a weight."""
    values = nearest(weight.reshape(layout.shape), scale, bits)
    return Grid(bits, values.astype(np.int8), scale, weight.shape)


def relative_error(weight: FloatArray, grid: Grid) -> float:
    """Return sum((w - decoded)^2) / sum(w^2); 0 for a weight of zeros."""
    power = float(np.square(weight, dtype=np.float64).sum())
    if power == 0:
        return 0.0
    return float(np.square(weight - grid.decode(), dtype=np.float64).sum()) / power


def per_channel_grid(array: FloatArray, channel_axes: tuple[int, ...] | None) -> Grid:
    """Return an 8-bit grid with a scale for each output channel; one in all for a vector.

    Every slice of the weight counts, however small its values, since what comes before or after
    may scale it up. Where an output channel's scale would lose the slice of an input, the layout
    whose worst slice errs least is taken; where the channel's axes are not known, the one that
    errs least.
    """
    if channel_axes is not None and len(channel_axes) < array.ndim:
        reduced = tuple(i for i in range(array.ndim) if i not in channel_axes)
        grid = _grid(array, Layout(array.shape, reduced))
        if _worst_slice_error(array, grid) <= LOST_SLICE:
            return grid
        others = [_grid(array, each) for each in per_channel_layouts(array.shape)]
        return min([grid, *others], key=lambda each: _worst_slice_error(array, each))
    grids = [_grid(array, each) for each in per_channel_layouts(array.shape)]
    return min(grids, key=lambda each: relative_error(array, each))


def _grid(array: FloatArray, layout: Layout) -> Grid:
    return round_to_grid(array, layout, 8, scales_of(array, layout, 8))


def _worst_slice_error(array: FloatArray, grid: Grid) -> float:
    """Return the largest relative error of any slice, across any axis, that is not all zeros."""
    errors = np.square(array - grid.decode())
    powers = np.square(array)
    worst = 0.0
    for axis in range(array.ndim):
        others = tuple(i for i in range(array.ndim) if i != axis)
        power, error = powers.sum(axis=others), errors.sum(axis=others)
        ratios = np.divide(error, power, out=np.zeros_like(error), where=power > 0)
        worst = max(worst, float(ratios.max(initial=0.0)))
    return worst
