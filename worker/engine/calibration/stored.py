"""Statistics of tensors, kept from one job over a model and its samples to the next."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worker.engine.cache import Cache, cache_key, samples_sha256
from worker.engine.calibration.histogram import RunningRange
from worker.engine.samples import Array

if TYPE_CHECKING:
    # The passes import this module, so it cannot import their package.
    from worker.engine.passes.base import PassContext

NAMES = "names"
SIZES = "sizes"


class StoredStatistics:
    """What one model's tensors were seen to hold on one set of samples.

    Methods and options do not matter to it: each job finds the tensors that others looked at, and
    adds those it misses. `model` are the files of the model.
    """

    def __init__(
        self,
        model: Iterable[Path],
        context: "PassContext",
        statistics: Callable[[], RunningRange],
    ) -> None:
        self.cache: Cache = context.cache
        self.statistics = statistics
        self.key: str | None = None
        if context.cache.folder is not None:
            kind = f"calibration {type(statistics()).__name__}"
            data = samples_sha256(context.samples)
            self.key = cache_key(kind, context.execution_provider, data, *map(_sha256, model))

    def load(self) -> dict[str, RunningRange]:
        """Return what is known of each tensor; what was looked at and held no floats is empty."""
        arrays = self.cache.load(self.key) if self.key else None
        try:
            return {} if arrays is None else _unpack(arrays, self.statistics)
        except (KeyError, ValueError, TypeError):
            return {}  # it is not what this version wrote

    def save(self, observed: Mapping[str, RunningRange]) -> None:
        """Keep all that is known."""
        if self.key:
            self.cache.save(self.key, _pack(observed))


def _pack(observed: Mapping[str, RunningRange]) -> dict[str, Array]:
    """Return arrays for each field: the values of all tensors in one, and how many each has."""
    arrays: dict[str, Array] = {NAMES: np.array(list(observed), np.str_)}
    for field in fields(next(iter(observed.values()))):
        values = [np.asarray(getattr(each, field.name)) for each in observed.values()]
        arrays[field.name] = np.concatenate([each.reshape(-1) for each in values])
        arrays[f"{field.name}.{SIZES}"] = np.array([each.size for each in values])
    return arrays


def _unpack(
    arrays: Mapping[str, Array], statistics: Callable[[], RunningRange]
) -> dict[str, RunningRange]:
    names = [str(name) for name in arrays[NAMES]]
    observed = {name: statistics() for name in names}
    for field in fields(statistics()):
        sizes = arrays[f"{field.name}.{SIZES}"].tolist()
        if sum(sizes) != len(arrays[field.name]):
            raise ValueError("the sizes are not those of the values")
        parts = np.split(arrays[field.name], np.cumsum(sizes)[:-1])
        for each, part in zip(observed.values(), parts, strict=True):
            is_array = isinstance(getattr(each, field.name), np.ndarray)
            setattr(each, field.name, part if is_array else part.reshape(()).item())
    return observed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
