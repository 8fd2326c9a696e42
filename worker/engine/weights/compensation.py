"""Rounding that makes values absorb the error of others, as the inputs weigh it.

First value by value (GPTQ; Frantar et al., "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers", arXiv 2210.17323), then by going over values and scales again
as long as one at a time can make it better (coordinate descent, as in Behdin et al., "QuantEase",
arXiv 2309.01885).
"""

import numpy as np
import numpy.typing as npt

from worker.engine.weights.scales import FloatArray, ScaleType, rounded_to

COLUMNS_AT_ONCE = 128
SWEEPS = 2
"""Times that values and scales are gone over; more gain next to nothing."""
LARGEST_RESCALING = 2.0

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.int8]


def compensated_rounding(
    weight: FloatArray,
    scale: FloatArray,
    moment: Floats,
    bits: int,
    scale_type: ScaleType,
) -> tuple[Values, FloatArray]:
    """Return grid values and scales that minimise tr(D H D^T), D = weight - scale * values.

    Args:
        weight: (channels, inputs), contracted along the second axis.
        scale: (channels, blocks), to begin with; a block is inputs / blocks in a row.
        moment: H = sum over samples of x x^T, (inputs, inputs), damped to be invertible.
        bits: of the grid.
        scale_type: what the scales are stored as.
    """
    search = _Descent(weight, scale, moment, bits)
    search.values = _round_in_turn(weight, search.full_scale(), moment, bits)
    search.start()
    for _ in range(SWEEPS):
        search.improve_values()
        search.improve_scales(scale_type)
    search.improve_values()
    return search.values.astype(np.int8), search.scale


def output_error(error: FloatArray, weight: FloatArray, second_moment: Floats) -> float:
    """Return the relative power of a layer's output error: tr(D H D^T) / tr(W H W^T)."""
    power = float(np.einsum("ij,ij->", weight @ second_moment, weight))
    if power <= 0:
        return 0.0
    return float(np.einsum("ij,ij->", error @ second_moment, error)) / power


def _round_in_turn(weight: FloatArray, scale: FloatArray, moment: Floats, bits: int) -> Floats:
    """Return values rounded one input after the other, the inputs with most power first."""
    order = np.argsort(-np.diagonal(moment), kind="stable")
    # The upper Cholesky factor of the inverse says how the later inputs absorb an error.
    factor = np.linalg.cholesky(np.linalg.inv(moment[np.ix_(order, order)])).T
    remaining, scale = weight[:, order].astype(np.float64), scale[:, order]
    values = np.empty(weight.shape)
    limit = 2 ** (bits - 1)
    for start in range(0, weight.shape[1], COLUMNS_AT_ONCE):
        end = min(start + COLUMNS_AT_ONCE, weight.shape[1])
        errors = np.empty((weight.shape[0], end - start))
        for column in range(start, end):
            wanted = remaining[:, column]
            rounded = np.clip(np.rint(wanted / scale[:, column]), -limit, limit - 1)
            values[:, order[column]] = rounded
            error = (wanted - rounded * scale[:, column]) / factor[column, column]
            remaining[:, column:end] -= np.outer(error, factor[column, column:end])
            errors[:, column - start] = error
        remaining[:, end:] -= errors @ factor[start:end, end:]
    return values


class _Descent:
    """Improves values and scales one at a time, in all channels at once.

    `slope` is D H: a change d of D's column j changes the error by 2 d slope_j + d² H_jj.
    """

    def __init__(self, weight: FloatArray, scale: FloatArray, moment: Floats, bits: int) -> None:
        self.values: Floats = np.zeros(weight.shape)
        self.scale = scale.copy()
        self._weight, self._moment = weight, moment
        self._limit = 2 ** (bits - 1)
        self._block = weight.shape[1] // scale.shape[1]
        self._slope: Floats = np.zeros(weight.shape)

    def full_scale(self) -> FloatArray:
        """Return the scale of every value."""
        return np.repeat(self.scale, self._block, axis=1)

    def start(self) -> None:
        """Take the error of the values as they are."""
        self._slope = (self._weight - self.values * self.full_scale()) @ self._moment

    def improve_values(self) -> None:
        """Move each value to the best integer, given all others."""
        power, scale = np.diagonal(self._moment), self.full_scale()
        for start in range(0, self.values.shape[1], COLUMNS_AT_ONCE):
            part = slice(start, min(start + COLUMNS_AT_ONCE, self.values.shape[1]))
            slope, moment = self._slope[:, part].copy(), self._moment[part, part]
            before = self.values[:, part].copy()
            for column in range(part.start, part.stop):
                place = column - start
                wanted = self.values[:, column] + slope[:, place] / (
                    power[column] * scale[:, column]
                )
                better = np.clip(np.rint(wanted), -self._limit, self._limit - 1)
                change = (better - self.values[:, column]) * scale[:, column]
                slope -= np.outer(change, moment[place])
                self.values[:, column] = better
            changes = (self.values[:, part] - before) * scale[:, part]
            self._slope -= changes @ self._moment[part]

    def improve_scales(self, scale_type: ScaleType) -> None:
        """Move each block's scale to the best one that a file can hold, given all others."""
        for index in range(self.scale.shape[1]):
            part = slice(index * self._block, (index + 1) * self._block)
            values = self.values[:, part]
            reach = values @ self._moment[part]
            power = np.einsum("ij,ij->i", reach[:, part], values)
            gain = np.einsum("ij,ij->i", self._slope[:, part], values)
            step = np.divide(gain, power, out=np.zeros_like(gain), where=power > 0)
            old = self.scale[:, index].copy()
            ratio = 1 + step / old
            is_near = (ratio > 1 / LARGEST_RESCALING) & (ratio < LARGEST_RESCALING)
            wanted = np.where(is_near, old + step, old).astype(np.float32)
            self.scale[:, index] = rounded_to(scale_type, wanted, old)
            self._slope -= (self.scale[:, index] - old)[:, None] * reach
