"""Fitting a dataset to a model: which rows make one run, and whether they suit its inputs."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

import numpy as np

from worker.engine.datasets.rows import Dataset, Row, checked_rows
from worker.engine.errors import InvalidDatasetError
from worker.engine.requests import ArrayInfo, DatasetInfo, TensorInfo
from worker.engine.samples import Array, DataOrigin, Feeds, Sample

Shape = Sequence[int | str | None]


class FittedSamples:
    """The samples of a dataset, each one run of the model.

    An array with as many axes as its graph input has its samples on the batch axis: one of them
    makes a batch of 1, or B make a run where the graph fixes its first axis to B. An array with one
    axis more has a whole run in each of its rows.
    """

    origin: DataOrigin = "dataset"

    def __init__(self, dataset: Dataset, inputs: Sequence[TensorInfo]) -> None:
        check_fit(dataset.info, inputs)
        self._dataset = dataset
        self._inputs = {_array_name(dataset.info, tensor): tensor for tensor in inputs}
        self._batched = {
            array.name
            for array in dataset.info.arrays
            if array.name in self._inputs
            and _is_batched(dataset.info, array, self._inputs[array.name])
        }
        self.batch = batch_size(dataset.info, inputs)

    @property
    def has_labels(self) -> bool:
        """Whether each sample carries labels."""
        return self._dataset.info.has_labels

    @property
    def notes(self) -> list[str]:
        """Return what a user should know about how the samples are used."""
        dropped = self._dataset.info.sample_count % self.batch
        if not dropped:
            return []
        return [f"the last {dropped} samples were dropped: the model takes {self.batch} at a time"]

    def __len__(self) -> int:
        return self._dataset.info.sample_count // self.batch

    def __iter__(self) -> Iterator[Sample]:
        number = 0
        with closing(checked_rows(self._dataset)) as rows:
            while len(group := list(islice(rows, self.batch))) == self.batch:
                feeds = {
                    tensor.name: self._feed(array_name, group)
                    for array_name, tensor in self._inputs.items()
                }
                _check_sample(feeds, self._inputs.values(), group[0].name)
                sample = Sample(feeds, self._labels(group), self._fields(group), number)
                number += sample.labelled_count() or self.batch
                yield sample

    def _feed(self, array_name: str, group: list[Row]) -> Array:
        arrays = [row.arrays[array_name] for row in group]
        return np.stack(arrays) if array_name in self._batched else np.asarray(arrays[0])

    def _labels(self, group: list[Row]) -> Array | None:
        labels = [row.labels for row in group if row.labels is not None]
        return self._stacked(labels) if labels else None

    def _fields(self, group: list[Row]) -> Feeds:
        """Return the arrays that are no inputs."""
        return {
            name: self._stacked([row.arrays[name] for row in group])
            for name in group[0].arrays
            if name not in self._inputs
        }

    def _stacked(self, labels: list[Array]) -> Array:
        """Return the labels of a run, whose first axis counts its samples."""
        return np.stack(labels) if self._batched else np.atleast_1d(labels[0])


def check_fit(dataset: DatasetInfo, inputs: Sequence[TensorInfo]) -> None:
    """Check a dataset's description against a model's required inputs, without opening either.

    Arrays that are no inputs may be labels, which only a spec can tell.

    Raises:
        InvalidDatasetError: names, dtypes or shapes do not fit; the message lists all that is
            wrong, what was expected and what came.
    """
    arrays = {array.name: array for array in dataset.arrays}
    wanted = {_array_name(dataset, tensor): tensor for tensor in inputs}
    wrong = [
        f'input "{tensor.name}" {_expected(tensor)} is missing: the dataset has {_listed(arrays)}'
        for name, tensor in wanted.items()
        if name not in arrays
    ]
    for name in arrays.keys() & wanted.keys():
        mismatch = _mismatch(dataset, arrays[name], wanted[name])
        wrong += [mismatch] if mismatch else []
    if wrong:
        raise InvalidDatasetError("; ".join(sorted(wrong)))
    batch = batch_size(dataset, inputs)
    if dataset.sample_count < max(batch, 1):
        raise InvalidDatasetError(
            f"the model takes {batch} samples at a time, and the dataset has {dataset.sample_count}"
        )
    whole = [
        name
        for name in arrays.keys() & wanted.keys()
        if batch > 1 and not _is_batched(dataset, arrays[name], wanted[name])
    ]
    if whole:
        raise InvalidDatasetError(
            f'the model takes {batch} samples at a time, and input "{whole[0]}" has no batch axis:'
            " give a zip of .npz files, each with the feeds of one run"
        )


def batch_size(dataset: DatasetInfo, inputs: Sequence[TensorInfo]) -> int:
    """Return how many of a dataset's samples make one run."""
    arrays = {array.name: array for array in dataset.arrays}
    sizes = {
        size
        for tensor in inputs
        if tensor.shape
        and _is_batched(dataset, arrays[_array_name(dataset, tensor)], tensor)
        and isinstance(size := tensor.shape[0], int)
        and size > 0
    }
    if len(sizes) > 1:
        raise InvalidDatasetError(
            f"the model's inputs have different first axes {sorted(sizes)}: give a zip of .npz"
            " files, each with the feeds of one run"
        )
    return next(iter(sizes), 1)


def _array_name(dataset: DatasetInfo, tensor: TensorInfo) -> str:
    """Return which array feeds an input; images without a declared input feed the only one."""
    unnamed = dataset.format == "images" and dataset.arrays[0].name == ""
    return "" if unnamed else tensor.name


def _is_batched(dataset: DatasetInfo, array: ArrayInfo, tensor: TensorInfo) -> bool:
    """Return whether a run stacks rows of this array along a new first axis."""
    if dataset.format == "npz_archive":
        return False
    return tensor.shape is None or len(tensor.shape) == len(array.shape) + 1


def _mismatch(dataset: DatasetInfo, array: ArrayInfo, tensor: TensorInfo) -> str | None:
    if array.dtype != tensor.dtype:
        return (
            f'input "{tensor.name}" wants {tensor.dtype} and the dataset has {array.dtype}:'
            f" save it with astype({tensor.dtype!r})"
        )
    if tensor.shape is None:
        return None
    expected: Shape = tensor.shape
    if _is_batched(dataset, array, tensor):
        expected = tensor.shape[1:]
    if not fits(array.shape, expected):
        return (
            f'each sample of input "{tensor.name}" wants the shape {written(expected)} and the'
            f" dataset has {written(array.shape)}"
        )
    return None


def fits(shape: Shape, expected: Shape) -> bool:
    """Return whether a shape agrees with another in its rank and its known dimensions."""
    return len(shape) == len(expected) and all(
        size == want or not _is_fixed(want) or not isinstance(size, int)
        for size, want in zip(shape, expected, strict=True)
    )


def written(shape: Shape) -> str:
    """Return a shape as people write it, such as `(batch, 3, ?)`."""
    inside = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


def _is_fixed(size: int | str | None) -> bool:
    return isinstance(size, int) and size > 0


def _check_sample(feeds: Feeds, inputs: Iterable[TensorInfo], name: str) -> None:
    """Check one run's shapes, and that a symbol stands for one size in all of them."""
    symbols: dict[str, int] = {}
    for tensor in inputs:
        shape = feeds[tensor.name].shape
        if tensor.shape is None:
            continue
        if not fits(shape, tensor.shape):
            raise InvalidDatasetError(
                f'input "{tensor.name}" of {name} wants the shape {written(tensor.shape)}, and has'
                f" {written(shape)}"
            )
        for size, symbol in zip(shape, tensor.shape, strict=True):
            if not isinstance(symbol, str) or not symbol[:1].isalpha():
                continue  # Paddle's exporter writes "?" for dimensions that differ
            if symbols.setdefault(symbol, size) != size:
                raise InvalidDatasetError(
                    f'dimension "{symbol}" is {symbols[symbol]} and {size} in {name}: it must be'
                    " the same in every input"
                )


def _expected(tensor: TensorInfo) -> str:
    return f"({tensor.dtype}{'' if tensor.shape is None else ' ' + written(tensor.shape)})"


def _listed(names: dict[str, ArrayInfo] | dict[str, TensorInfo]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "no arrays"
