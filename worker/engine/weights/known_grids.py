"""What an earlier call worked out to round weights of the same model on the same samples."""

import hashlib
from collections.abc import Mapping
from math import prod
from typing import cast

import numpy as np
import onnx

from worker.engine.cache import Cache, cache_key, samples_sha256
from worker.engine.model_files import needs_external_data
from worker.engine.samples import Array, SampleSource
from worker.engine.weights.finding import Weight
from worker.engine.weights.grids import Grid
from worker.engine.weights.moments import MeanLayer, Moments, MultipliedLayer

ROWS, SUMS = "\n rows", "\n sums"
"""Follow a weight's name, which holds no such thing."""


class KnownGrids:
    """Grids by a weight's place in its graph and their bits, and the inputs' moments behind them.

    Compensated rounding of one weight depends on the float graph and the samples, never on what
    the other weights become: so many models that differ in the bits of their weights cost little
    more than one. The opset does not matter where raising it changes nothing of the graph.
    `options` is all else that decides a grid. Without a cache, nothing is known.
    """

    def __init__(
        self, cache: Cache, model: onnx.ModelProto, samples: SampleSource, options: str
    ) -> None:
        self._cache = cache
        self._parts: tuple[str, ...] | None = None
        if cache.folder is not None and not needs_external_data(model):
            graph = model.graph.SerializeToString(deterministic=True)
            digest = hashlib.sha256(graph).hexdigest()
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

    def find_moments(self, layers: Mapping[str, MultipliedLayer]) -> bool:
        """Give all of some layers their moments; return whether they are known."""
        arrays = self._load_means("moments", layers)
        if not all(_is_like(arrays.get(name), layer.moments) for name, layer in layers.items()):
            return False
        for name, layer in layers.items():
            layer.moments += cast("Moments", arrays[name])
        return _give_means(layers, arrays)

    def keep_moments(self, layers: Mapping[str, MultipliedLayer]) -> None:
        """Leave the moments of layers to later calls."""
        self._keep_means("moments", layers, {name: each.moments for name, each in layers.items()})

    def find_means(self, layers: Mapping[str, MeanLayer]) -> bool:
        """Give all of some layers their sums; return whether they are known."""
        return _give_means(layers, self._load_means("means", layers))

    def keep_means(self, layers: Mapping[str, MeanLayer]) -> None:
        """Leave the sums of layers to later calls."""
        self._keep_means("means", layers, {})

    def keep(self, grid: Grid, place: int) -> None:
        """Leave a grid to later calls."""
        if self._parts:
            arrays: dict[str, Array] = {"values": grid.values, "scale": grid.scale}
            self._cache.save(self._key(place, grid.bits), arrays)

    def _load_means(self, kind: str, layers: Mapping[str, MeanLayer]) -> Mapping[str, Array]:
        """Return what is kept of layers, nothing where it is not of all of them."""
        arrays = self._cache.load(self._key(kind, 0)) if self._parts else None
        if arrays is None or not all(_fits(layer, name, arrays) for name, layer in layers.items()):
            return {}
        return arrays

    def _keep_means(
        self, kind: str, layers: Mapping[str, MeanLayer], arrays: dict[str, Array]
    ) -> None:
        if self._parts:
            arrays |= {name + SUMS: layer.sums for name, layer in layers.items()}
            arrays |= {name + ROWS: np.array(layer.rows) for name, layer in layers.items()}
            self._cache.save(self._key(kind, 0), arrays)

    def _key(self, place: int | str, bits: int) -> str:
        return cache_key("grid", *(self._parts or ()), str(place), str(bits))


def _give_means(layers: Mapping[str, MeanLayer], arrays: Mapping[str, Array]) -> bool:
    if not arrays:
        return False
    for name, layer in layers.items():
        layer.sums += cast("Moments", arrays[name + SUMS])
        layer.rows = int(arrays[name + ROWS])
    return True


def _fits(layer: MeanLayer, name: str, arrays: Mapping[str, Array]) -> bool:
    rows = arrays.get(name + ROWS)
    is_count = rows is not None and (rows.shape, rows.dtype.kind) == ((), "i")
    return is_count and _is_like(arrays.get(name + SUMS), layer.sums)


def _is_like(array: Array | None, expected: Moments) -> bool:
    return array is not None and (array.shape, array.dtype) == (expected.shape, expected.dtype)


def _shape(weight: Weight) -> tuple[int, ...]:
    return tuple(weight.tensor.dims)
