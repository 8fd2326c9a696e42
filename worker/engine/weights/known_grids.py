"""Grids of few bits that an earlier call worked out for the same model, samples and options."""

import hashlib
from math import prod

import numpy as np
import onnx

from worker.engine.cache import Cache, cache_key, samples_sha256
from worker.engine.model_files import needs_external_data, serialize
from worker.engine.samples import Array, SampleSource
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid


class KnownGrids:
    """Grids by a weight's place in its model and their bits; none without a cache.

    Compensated rounding of one weight depends on the float model and the samples, never on what
    the other weights become: so many models that differ in the bits of their weights cost little
    more than one. `options` is all else that decides a grid.
    """

    def __init__(
        self, cache: Cache, model: onnx.ModelProto, samples: SampleSource, options: str
    ) -> None:
        self._cache = cache
        self._parts: tuple[str, ...] | None = None
        if cache.folder is not None and not needs_external_data(model):
            digest = hashlib.sha256(serialize(model)).hexdigest()
            self._parts = (digest, samples_sha256(samples), options)

    def find(self, weight: Weight, place: int, bits: int) -> Grid | None:
        """Return a weight's grid, None where it is not known."""
        arrays = self._cache.load(self._key(place, bits)) if self._parts else None
        try:
            values, scale = (arrays or {})["values"], (arrays or {})["scale"]
        except KeyError:
            return None
        is_ours = values.dtype == np.int8 and scale.dtype == np.float32
        if not is_ours or values.ndim != scale.ndim or values.size != prod(weight.tensor.dims):
            return None
        return Grid(bits, values.astype(np.int8), scale.astype(np.float32), _shape(weight))

    def keep(self, grid: Grid, place: int) -> None:
        """Leave a grid to later calls."""
        if self._parts:
            arrays: dict[str, Array] = {"values": grid.values, "scale": grid.scale}
            self._cache.save(self._key(place, grid.bits), arrays)

    def _key(self, place: int, bits: int) -> str:
        return cache_key("grid", *(self._parts or ()), str(place), str(bits))


def _shape(weight: Weight) -> tuple[int, ...]:
    return tuple(weight.tensor.dims)
