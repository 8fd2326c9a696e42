"""Rounding that makes values absorb the error of others, as the inputs weigh it.

First value by value (GPTQ; Frantar et al., "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers", arXiv 2210.17323), then by going over values and scales again
as long as one at a time can make it better (coordinate descent, as in Behdin et al., "QuantEase",
arXiv 2309.01885).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from worker.engine.weights.scales import FloatArray, ScaleType, rounded_to

COLUMNS_AT_ONCE = 32
"""After so many, what they changed reaches all the others, by one product of matrices."""
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
        weight: (groups, channels, inputs), contracted along the last axis.
        scale: (groups, channels, blocks), to begin with; a block is inputs / blocks in a row.
        moment: H = sum over samples of x x^T, (groups, inputs, inputs), damped to be invertible.
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


def output_errors(error: FloatArray, weight: FloatArray, moment: Floats) -> Floats:
    """Return the relative power of each group's output error: tr(D H D^T) / tr(W H W^T)."""
    power, wrong = _power(weight, moment), _power(error, moment)
    return np.divide(wrong, power, out=np.zeros_like(power), where=power > 0)


def _power(weight: FloatArray, moment: Floats) -> Floats:
    power: Floats = np.einsum("gij,gij->g", weight @ moment, weight)
    return power


def _round_in_turn(weight: FloatArray, scale: FloatArray, moment: Floats, bits: int) -> Floats:
    """Return values rounded one input after the other, the inputs with most power first."""
    powers = np.diagonal(moment, axis1=1, axis2=2)
    order = np.argsort(-powers, axis=1, kind="stable")
    by_group = np.arange(len(order))[:, None, None]
    moment = moment[by_group, order[:, :, None], order[:, None, :]]
    # The upper Cholesky factor of the inverse says how the later inputs absorb an error.
    factor = np.linalg.cholesky(np.linalg.inv(moment)).transpose(0, 2, 1)
    remaining = np.take_along_axis(weight, order[:, None, :], axis=2).astype(np.float64)
    scale = np.take_along_axis(scale, order[:, None, :], axis=2)
    values = np.empty(weight.shape)
    for part in _parts(weight.shape[2]):
        errors = np.empty((*weight.shape[:2], part.stop - part.start))
        for column in range(part.start, part.stop):
            wanted = remaining[:, :, column]
            values[:, :, column] = _nearest(wanted / scale[:, :, column], bits)
            error = wanted - values[:, :, column] * scale[:, :, column]
            error /= factor[:, column, column, None]
            remaining[:, :, column : part.stop] -= (
                error[:, :, None] * factor[:, None, column, column : part.stop]
            )
            errors[:, :, column - part.start] = error
        remaining[:, :, part.stop :] -= errors @ factor[:, part, part.stop :]
    return np.take_along_axis(values, np.argsort(order, axis=1)[:, None, :], axis=2)


class _Descent:
    """Improves values and scales one at a time, in all channels at once.

    `slope` is D H: a change d of D's column j changes the error by 2 d slope_j + d² H_jj.
    """

    def __init__(self, weight: FloatArray, scale: FloatArray, moment: Floats, bits: int) -> None:
        self.values: Floats = np.zeros(weight.shape)
        self.scale = scale.copy()
        self._weight, self._moment = weight, moment
        self._bits = bits
        self._block = weight.shape[2] // scale.shape[2]
        self._slope: Floats = np.zeros(weight.shape)

    def full_scale(self) -> FloatArray:
        """Return the scale of every value."""
        return np.repeat(self.scale, self._block, axis=2)

    def start(self) -> None:
        """Take the error of the values as they are."""
        self._slope = (self._weight - self.values * self.full_scale()) @ self._moment

    def improve_values(self) -> None:
        """Move each value to the best integer, given all others."""
        full_scale = self.full_scale()
        curvature = np.diagonal(self._moment, axis1=1, axis2=2)[:, None, :] * full_scale
        for part in _parts(self.values.shape[2]):
            moment = self._moment[:, part, part]
            slope, scale = self._slope[:, :, part].copy(), full_scale[:, :, part]
            before = self.values[:, :, part].copy()
            for place in range(part.stop - part.start):
                column = part.start + place
                old = before[:, :, place]
                wanted = old + slope[:, :, place] / curvature[:, :, column]
                better = _nearest(wanted, self._bits)
                change = (better - old) * scale[:, :, place]
                slope[:, :, place:] -= change[:, :, None] * moment[:, None, place, place:]
                self.values[:, :, column] = better
            changes = (self.values[:, :, part] - before) * scale
            self._slope -= changes @ self._moment[:, part]

    def improve_scales(self, scale_type: ScaleType) -> None:
        """Move each block's scale to the best one that a file can hold, given all others."""
        for index in range(self.scale.shape[2]):
            part = slice(index * self._block, (index + 1) * self._block)
            values = self.values[:, :, part]
            reach = values @ self._moment[:, part]
            power = np.einsum("gij,gij->gi", reach[:, :, part], values)
            gain = np.einsum("gij,gij->gi", self._slope[:, :, part], values)
            step = np.divide(gain, power, out=np.zeros_like(gain), where=power > 0)
            old = self.scale[:, :, index].copy()
            ratio = 1 + step / old
            is_near = (ratio > 1 / LARGEST_RESCALING) & (ratio < LARGEST_RESCALING)
            wanted = np.where(is_near, old + step, old).astype(np.float32)
            self.scale[:, :, index] = rounded_to(scale_type, wanted, old)
            self._slope -= (self.scale[:, :, index] - old)[:, :, None] * reach


def _parts(count: int) -> Iterator[slice]:
    """Yield the places up to a count, some in a row at a time."""
    for start in range(0, count, COLUMNS_AT_ONCE):
        yield slice(start, min(start + COLUMNS_AT_ONCE, count))


def _nearest(wanted: Floats, bits: int) -> Floats:
    limit = 2 ** (bits - 1)
    rounded: Floats = np.minimum(np.maximum(np.rint(wanted), -limit), limit - 1)
    return rounded
