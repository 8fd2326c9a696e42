"""Outputs of any kind as arrays."""

from collections.abc import Iterable, Mapping

import numpy as np

from worker.engine.samples import Array


def as_array(value: object) -> Array:
    """Return an output of any kind as one array.

    A sequence becomes its members one after another, a map its values in the order of its keys.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Mapping):
        return np.asarray([value[key] for key in sorted(value)])
    if isinstance(value, Iterable) and not isinstance(value, str):
        parts = [as_array(member) for member in value]
        if parts and len({part.shape for part in parts}) == 1:
            return np.stack(parts)
        return np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0)
    return np.asarray(value)
