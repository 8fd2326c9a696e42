"""Rounds 8-bit weights so that no sum of two products overflows 16 bits.

x86 processors without VNNI multiply unsigned by signed bytes and add the products of input rows 2i
and 2i + 1 in 16 bits, which saturate (vpmaddubsw, in onnxruntime/core/mlas/lib/x86_64/
QgemmU8S8KernelAvx2.asm). 255 · (a + b) fits where a + b lies in [-128, 128]; two weights of
different signs always do. So only neighbours of one sign need less than 8 bits, and most channels
keep more than the 7 bits that would do for any weights.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int8]

LARGEST_PAIR = 128
LARGEST = 127.0
LARGEST_VALUES = np.linspace(LARGEST, LARGEST_PAIR / 2, 6)
"""What to try for the integer of a channel's largest weight; at the last no pair is too large."""


def paired_rounding(weight: Floats, *, per_channel: bool) -> tuple[Integers, Floats]:
    """Return integers and scales, one or one for each channel, of least squared error.

    Args:
        weight: (inputs, channels).
        per_channel: whether each channel has its own scale.
    """
    largest = np.abs(weight).max(axis=0) if per_channel else np.abs(weight).max()
    largest = np.where(largest > np.finfo(np.float32).tiny * LARGEST, largest, np.float32(LARGEST))
    best_scale = np.zeros_like(largest)
    best_error = np.full(largest.shape, np.inf)
    for value in LARGEST_VALUES:
        scale = (largest / value).astype(np.float32)
        error = np.square(weight - _rounded(weight, scale) * scale)
        total = error.sum(axis=0 if per_channel else None, dtype=np.float64)
        is_better = total < best_error
        best_scale = np.where(is_better, scale, best_scale)
        best_error = np.where(is_better, total, best_error)
    best_scale = best_scale.astype(np.float32)
    return _rounded(weight, best_scale).astype(np.int8), best_scale


def _rounded(weight: Floats, scale: Floats) -> Floats:
    """Return the nearest integers, with both of a pair that is too large moved towards 0."""
    rounded = weight / scale
    np.rint(rounded, out=rounded)
    np.clip(rounded, -LARGEST, LARGEST, out=rounded)
    count = len(rounded) // 2 * 2
    first, second = rounded[0:count:2], rounded[1:count:2]
    sums = np.abs(first + second)
    where = np.nonzero(sums > LARGEST_PAIR)
    # The two are of one sign, and both larger than the excess.
    excess = sums[where] - LARGEST_PAIR
    is_first_larger = np.abs(first[where]) >= np.abs(second[where])
    from_first = np.where(is_first_larger, np.ceil(excess / 2), np.floor(excess / 2))
    first[where] -= np.sign(first[where]) * from_first
    second[where] -= np.sign(second[where]) * (excess - from_first)
    return rounded
