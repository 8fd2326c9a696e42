"""Integer types, and rounding real values to them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from worker.engine.calibration.ranges import TensorRange

TypeName = Literal["int8", "uint8", "int16", "uint16"]
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.integer]

REDUCED_MAGNITUDE = 64
"""Largest magnitude with `reduce_range`: 2 · 255 · 64 fits 16 bits, so that no sum saturates."""


@dataclass(frozen=True)
class Scale:
    """What an integer q means, real = scale · (q - zero_point), for a tensor or each channel."""

    scale: Floats
    zero_point: Integers


@dataclass(frozen=True)
class IntegerType:
    """An integer type and how it is used."""

    name: TypeName
    is_symmetric: bool
    reduce_range: bool = False

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The type in numpy."""
        return np.dtype(self.name)

    @property
    def levels(self) -> int:
        """How many integers a range is divided into."""
        lowest, highest = self.bounds
        return highest - lowest + 1

    @property
    def bounds(self) -> tuple[int, int]:
        """The lowest and highest integer in use."""
        information = np.iinfo(self.dtype)
        if not self.is_symmetric:
            lowest = int(information.min)
            return lowest, lowest + 2 * REDUCED_MAGNITUDE - 1 if self.reduce_range else int(
                information.max
            )
        magnitude = 2 ** (information.bits - 1) - 1
        if self.reduce_range:
            magnitude = min(magnitude, REDUCED_MAGNITUDE)
        return self.middle - magnitude, self.middle + magnitude

    @property
    def middle(self) -> int:
        """The zero point of symmetric use."""
        information = np.iinfo(self.dtype)
        return 0 if information.min < 0 else 2 ** (information.bits - 1)


def scale_of_range(found: TensorRange, kind: IntegerType) -> Scale:
    """Return the scale at which the type's integers cover a range.

    scale = (highest - lowest) / (q_highest - q_lowest), zero_point = round(q_lowest - lowest /
    scale), as in onnxruntime's quant_utils.compute_scale_zp; a range of nothing but 0 has scale 1.
    """
    return _scales(np.array(found.lowest), np.array(found.highest), kind)


def scale_of_weight(weight: Floats, axis: int | None, kind: IntegerType) -> Scale:
    """Return the scale of a weight, or one for each index along `axis`."""
    others = None if axis is None else tuple(each for each in range(weight.ndim) if each != axis)
    return _scales(weight.min(axis=others), weight.max(axis=others), kind)


def _scales(
    lows: npt.NDArray[np.floating], highs: npt.NDArray[np.floating], kind: IntegerType
) -> Scale:
    """Return the scale of each of some ranges."""
    lowest, highest = kind.bounds
    lows, highs = lows.astype(np.float64), highs.astype(np.float64)
    if kind.is_symmetric:
        spans = 2 * np.maximum(np.abs(lows), np.abs(highs))
    else:
        spans = np.maximum(highs, 0.0) - np.minimum(lows, 0.0)
    scales = (spans / (highest - lowest)).astype(np.float32)
    scales = np.where(scales > np.finfo(np.float32).tiny, scales, np.float32(1))
    zero_points = np.full(scales.shape, kind.middle)
    if not kind.is_symmetric:
        zero_points = np.clip(np.round(lowest - np.minimum(lows, 0.0) / scales), lowest, highest)
    return Scale(np.asarray(scales, np.float32), np.asarray(zero_points, kind.dtype))


def quantize(values: Floats, scale: Scale, axis: int | None, kind: IntegerType) -> Integers:
    """Return clip(round(values / scale) + zero_point), as ONNX QuantizeLinear rounds."""
    step, zero = _along(values.ndim, scale, axis)
    lowest, highest = kind.bounds
    integers = np.round(values / step) + zero.astype(np.float32)
    quantized: Integers = np.clip(integers, lowest, highest).astype(kind.dtype)
    return quantized


def dequantize(integers: Integers, scale: Scale, axis: int | None) -> Floats:
    """Return scale * (integers - zero_point), as ONNX DequantizeLinear does."""
    step, zero = _along(integers.ndim, scale, axis)
    values: Floats = (integers.astype(np.float32) - zero.astype(np.float32)) * step
    return values


def _along(rank: int, scale: Scale, axis: int | None) -> tuple[Floats, Integers]:
    """Return scales and zero points in a shape that broadcasts along an axis."""
    if axis is None:
        return scale.scale, scale.zero_point
    shape = [-1 if index == axis else 1 for index in range(rank)]
    return scale.scale.reshape(shape), scale.zero_point.reshape(shape)
