"""The formulas behind the scores."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def spearman(left: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Return Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank."""
    return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def area_under_curve(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties counting half."""
    values, is_positive = np.asarray(scores), np.asarray(truth, dtype=bool)
    positives, negatives = values[is_positive][:, None], values[~is_positive]
    return float(np.mean(positives > negatives) + np.mean(positives == negatives) / 2)


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Return how many insertions, deletions and substitutions turn one text into the other."""
    distances = list(range(len(right) + 1))
    for row, letter in enumerate(left, start=1):
        above_left, distances[0] = distances[0], row
        for column, other in enumerate(right, start=1):
            substituted = above_left + (letter != other)
            above_left = distances[column]
            distances[column] = min(above_left + 1, distances[column - 1] + 1, substituted)
    return distances[-1]


def _ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    _, group, sizes = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes) - 1
    ranks: npt.NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks
