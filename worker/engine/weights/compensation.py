"""Rounding that makes later values absorb the error of earlier ones (GPTQ).

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(arXiv 2210.17323), with the scales of every block fixed beforehand.
"""

import numpy as np
import numpy.typing as npt

from worker.engine.weights.grids import FloatArray

DAMPING = 0.01
COLUMNS_AT_ONCE = 128


def compensated_rounding(
    weight: FloatArray, scale: FloatArray, second_moment: npt.NDArray[np.float64], bits: int
) -> npt.NDArray[np.int8]:
    """Return grid values of `weight` that minimise tr(D H D^T), D = weight - scale * values.

    Args:
        weight: (channels, inputs), contracted along the second axis.
        scale: the same shape, the scale of every value.
        second_moment: H = sum over samples of x x^T, (inputs, inputs).
        bits: of the grid.
    """
    factor = _inverse_factor(second_moment)
    remaining = weight.astype(np.float64)
    values = np.empty(weight.shape, np.int8)
    limit = 2 ** (bits - 1)
    for start in range(0, weight.shape[1], COLUMNS_AT_ONCE):
        end = min(start + COLUMNS_AT_ONCE, weight.shape[1])
        errors = np.empty((weight.shape[0], end - start))
        for column in range(start, end):
            wanted = remaining[:, column]
            rounded = np.clip(np.rint(wanted / scale[:, column]), -limit, limit - 1)
            values[:, column] = rounded
            error = (wanted - rounded * scale[:, column]) / factor[column, column]
            remaining[:, column:end] -= np.outer(error, factor[column, column:end])
            errors[:, column - start] = error
        remaining[:, end:] -= errors @ factor[start:end, end:]
    return values


def output_error(
    error: FloatArray, weight: FloatArray, second_moment: npt.NDArray[np.float64]
) -> float:
    """Return the relative power of a layer's output error: tr(D H D^T) / tr(W H W^T)."""
    power = float(np.einsum("ij,ij->", weight @ second_moment, weight))
    if power <= 0:
        return 0.0
    return float(np.einsum("ij,ij->", error @ second_moment, error)) / power


def _inverse_factor(second_moment: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the upper Cholesky factor of the damped inverse; dead inputs get unit moments."""
    moment = second_moment.copy()
    diagonal = np.diagonal(moment).copy()
    diagonal[diagonal <= 0] = max(float(diagonal.mean()), 1e-12)
    np.fill_diagonal(moment, diagonal + DAMPING * diagonal.mean())
    lower = np.linalg.cholesky(np.linalg.inv(moment))
    factor: npt.NDArray[np.float64] = lower.T
    return factor
