"""The scales of a grid: which a file holds in two bytes, and which suit a weight best."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

FloatArray = npt.NDArray[np.float32]
ScaleType = Literal["float16", "bfloat16"]

HALF_NORMAL_MINIMUM = 2.0**-14
HALF_MAXIMUM = 65504.0
LARGEST_BFLOAT16 = (2 - 2.0**-7) * 2.0**127
NEGLIGIBLE_SCALE = 2.0**-126
SCALE_BITS = 16
"""Of each stored scale, float16 or bfloat16."""
SEARCH_BITS = 4
"""Bits up to which a scale other than that of the largest value is worth looking for."""
LOWER_HALF = 1 << 16
"""One more than what the 16 bits hold that bfloat16 lacks."""


def representable(scale: FloatArray) -> FloatArray:
    """Return scales as a file holds them: never zero, float16 if all fit its range or bfloat16."""
    scale = np.where(np.abs(scale) > NEGLIGIBLE_SCALE, scale, np.float32(1)).astype(np.float32)
    if _fits_half(scale):
        return scale.astype(np.float16).astype(np.float32)
    return _rounded_to_bfloat16(scale)


def type_of(scale: FloatArray) -> ScaleType:
    """Return the type that holds representable scales."""
    return "float16" if _fits_half(scale) else "bfloat16"


def rounded_to(scale_type: ScaleType, wanted: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Return scales as a type holds them; those out of its range are taken from `otherwise`."""
    size = np.abs(wanted)
    if scale_type == "float16":
        fits = (size >= HALF_NORMAL_MINIMUM) & (size <= HALF_MAXIMUM)
        return np.where(fits, wanted, otherwise).astype(np.float16).astype(np.float32)
    return np.where(size > NEGLIGIBLE_SCALE, _rounded_to_bfloat16(wanted), otherwise)


def scale_tensor(scale: FloatArray, name: str) -> onnx.TensorProto:
    """Return scales in the smallest type that holds them exactly."""
    scale = np.ascontiguousarray(scale, np.float32)
    with np.errstate(over="ignore"):
        halves = scale.astype(np.float16)
    if np.array_equal(halves.astype(np.float32), scale):
        return numpy_helper.from_array(halves, name)
    bits = scale.view(np.uint32)
    if (bits % LOWER_HALF).any():
        return numpy_helper.from_array(scale, name)
    upper = (bits // LOWER_HALF).astype("<u2").tobytes()
    return helper.make_tensor(name, TensorProto.BFLOAT16, scale.shape, upper, raw=True)


def searched_scales(
    blocks: FloatArray,
    axis: int | tuple[int, ...] | None,
    bits: int,
    importance: FloatArray | None = None,
) -> FloatArray:
    """Return the scales that minimise the squared rounding error.

    Error: sum(importance * (w - scale * clip(round(w / scale)))^2) along `axis`, whose length
    becomes 1. Few bits gain from clipping the largest value and, where it is known how much each
    value counts, from a scale whose sign gives the largest one the longer side of the grid. Where
    that is not known, numbers of either sign are treated alike, so that what they cancel stays
    cancelled, as in the waves of a spectrum.
    """
    steps = np.float32(2 ** (bits - 1) - 1)
    size = np.abs(blocks)
    # Decoded, the largest value is finite still, as that of a mask that means minus infinity.
    most = np.float32(LARGEST_BFLOAT16 / 2 ** (bits - 1))
    largest: FloatArray = size.max(axis=axis, keepdims=axis is not None) / steps
    largest = np.minimum(largest, most)
    if bits > SEARCH_BITS:
        return representable(largest)
    if importance is not None:
        highest = np.minimum(blocks.max(axis=axis, keepdims=axis is not None) / steps, most)
        largest = np.where(highest == largest, -largest, largest)
    weighting = np.ones(1, np.float32) if importance is None else importance
    best_scale = representable(largest)
    best_error = _rounding_error(blocks, best_scale, axis, bits, weighting)
    for factor in np.linspace(1.15, 0.6, 23):
        scale = representable(largest * np.float32(factor))
        error = _rounding_error(blocks, scale, axis, bits, weighting)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale = np.where(better, scale, best_scale)
    return representable(best_scale)


def nearest(blocks: FloatArray, scale: FloatArray, bits: int) -> FloatArray:
    """Return the nearest values of a grid, as floats."""
    limit = 2 ** (bits - 1)
    rounded: FloatArray = np.clip(np.rint(blocks / scale), -limit, limit - 1)
    return rounded


def _fits_half(scale: FloatArray) -> bool:
    """Return whether all scales are normal float16 numbers."""
    size = np.abs(scale)
    return bool(size.min() >= HALF_NORMAL_MINIMUM and size.max() <= HALF_MAXIMUM)


def _rounded_to_bfloat16(scale: FloatArray) -> FloatArray:
    """Return the nearest numbers whose lower 16 bits are zero."""
    bits = np.ascontiguousarray(scale, np.float32).view(np.uint32)
    return ((bits + LOWER_HALF // 2) // LOWER_HALF * LOWER_HALF).view(np.float32)


def _rounding_error(
    blocks: FloatArray,
    scale: FloatArray,
    axis: int | tuple[int, ...] | None,
    bits: int,
    importance: FloatArray,
) -> FloatArray:
    with np.errstate(over="ignore"):  # of such numbers no scale is better than the first
        error = importance * np.square(blocks - nearest(blocks, scale, bits) * scale)
        total: FloatArray = error.sum(axis=axis, keepdims=axis is not None)
    return total
