"""Synthetic samples for a job without data: seeded, and honouring the graph's inputs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import onnx

from worker.engine.errors import CalibrationError, EngineError, ResourceError
from worker.engine.outputs import as_array
from worker.engine.requests import TensorInfo
from worker.engine.runtime import Session, run
from worker.engine.samples import Array, DataOrigin, Feeds, Sample

SAMPLE_COUNT = 20
TRIAL_SIZES = (
    *(32, 64, 16, 224, 128, 256, 320, 640, 8, 4, 2, 1, 48, 96, 512, 1024, 80),
    *(4096, 16000),
)
"""Sizes tried, in this order, for dimensions that the graph leaves free ..."""
IMAGE_SIZES = (224, 320, 640)
"""... and those tried before them where the graph takes images."""
TRIAL_SCALARS = (1, 16000, 0)
"""Values tried for integer scalars: a count or flag, or a sampling rate."""
MAX_SAMPLE_BYTES = 2**28
BATCH_NAMES = re.compile(r"(^|[^a-z])(batch|n|bs)([^a-z]|$)|batch", re.IGNORECASE)
MASK_NAMES = re.compile(r"mask", re.IGNORECASE)
LENGTH_NAMES = re.compile(r"len(gth)?s?$", re.IGNORECASE)
STATE_NAMES = re.compile(r"state|hidden|cache|past|memory|^[hc](_?0|_in)?$", re.IGNORECASE)
INTEGERS_BELOW = 2
"""Where nothing says how far an integer input may go, 0 and 1 are always within a table."""


@dataclass(frozen=True)
class Trial:
    """One guess at what the graph leaves open."""

    size: int
    scalar: int


@dataclass(frozen=True, eq=False)
class SyntheticSamples:
    """Random samples, the same for the same seed; generated anew each time they are read."""

    inputs: Sequence[TensorInfo]
    integers_below: Mapping[str, int]
    trial: Trial
    seed: int
    count: int = SAMPLE_COUNT
    origin: DataOrigin = "synthetic"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sample]:
        shapes = resolve_shapes(self.inputs, self.trial.size)
        for index in range(self.count):
            random = np.random.default_rng([self.seed, index])
            feeds: Feeds = {
                tensor.name: self._values(tensor, shapes[tensor.name], random)
                for tensor in self.inputs
            }
            yield Sample(feeds)

    def _values(
        self, tensor: TensorInfo, shape: tuple[int, ...], random: np.random.Generator
    ) -> Array:
        if tensor.dtype == "string":
            return np.full(shape, "a", object)
        dtype = np.dtype(tensor.dtype)
        if STATE_NAMES.search(tensor.name) and dtype.kind == "f":
            return np.zeros(shape, dtype)
        if MASK_NAMES.search(tensor.name) or dtype.kind == "b":
            return np.ones(shape, dtype)
        if dtype.kind == "f":
            return random.standard_normal(shape, np.float32).astype(dtype)
        return self._integers(tensor, shape, random).astype(dtype)

    def _integers(
        self, tensor: TensorInfo, shape: tuple[int, ...], random: np.random.Generator
    ) -> Array:
        if not shape:
            return np.asarray(self.trial.scalar)
        if tensor.name in self.integers_below:
            return random.integers(0, self.integers_below[tensor.name], shape)
        if LENGTH_NAMES.search(tensor.name):
            return np.full(shape, self._longest())
        is_image = tensor.dtype == "uint8" and len(shape) == 4
        return random.integers(0, 256 if is_image else INTEGERS_BELOW, shape)

    def _longest(self) -> int:
        """Return how long a sequence is: what was tried, or where nothing is open what is given."""
        shapes = resolve_shapes(self.inputs, self.trial.size).values()
        sizes = [size for shape in shapes for size in shape[1:]]
        return self.trial.size if self.trial.size in sizes else max(sizes, default=1)


def synthesize(
    session: Session, model: onnx.ModelProto, inputs: Sequence[TensorInfo], seed: int
) -> SyntheticSamples:
    """Return samples that the model runs on, found by trial where the graph leaves sizes open.

    Those are preferred that it answers with more than zeros.

    Raises:
        CalibrationError: no guess makes the model run: it needs real samples.
    """
    _refuse_others(inputs)
    below = table_sizes(model)
    reason = ""
    silent: SyntheticSamples | None = None
    for trial in trials(inputs):
        samples = SyntheticSamples(inputs, below, trial, seed)
        try:
            answers = _try(session, samples)
        except ResourceError:
            if silent is None and not reason:
                raise
            break  # a size that others came before: those say more of the model
        except EngineError as error:
            reason = reason or str(error)
        else:
            if _says_something(answers):
                return samples
            silent = silent or samples
    if silent is not None:
        return silent
    raise CalibrationError(
        f"the model does not run on made-up inputs ({reason}): provide a calibration dataset"
    )


def resolve_shapes(inputs: Sequence[TensorInfo], size: int) -> dict[str, tuple[int, ...]]:
    """Return a shape for each input: free batch axes are 1, other free dimensions `size`.

    A symbol stands for the same size in every input. A free dimension behind a fixed first axis,
    as in `(layers, batch, hidden)`, is a batch too.
    """
    symbols: dict[str, int] = {}
    for tensor in inputs:
        for axis, name in enumerate(tensor.shape or []):
            if isinstance(name, str):
                guess = 1 if _is_batch(tensor, axis) else size
                symbols[name] = min(guess, symbols.get(name, guess))
    return {
        tensor.name: tuple(
            _size(tensor, axis, symbols, size) for axis in range(len(tensor.shape or []))
        )
        for tensor in inputs
    }


def table_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many rows the tables have that integer inputs look up, by the input's name."""
    rows = {
        tensor.name: tensor.dims[0] for tensor in model.graph.initializer if len(tensor.dims) > 1
    }
    origin = {value.name: value.name for value in model.graph.input}
    below: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in {"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape"}:
            source = origin.get(node.input[0])
            if source is not None:
                origin[node.output[0]] = source
        elif node.op_type == "Gather" and node.input[0] in rows and node.input[1] in origin:
            source = origin[node.input[1]]
            below[source] = min(rows[node.input[0]], below.get(source, rows[node.input[0]]))
    return below


def trials(inputs: Sequence[TensorInfo], sizes: tuple[int, ...] = ()) -> Iterator[Trial]:
    """Yield what to try in turn; `sizes` are tried in place of the usual ones."""
    takes_images = any(len(tensor.shape or []) == 4 for tensor in inputs)
    sizes = sizes or (IMAGE_SIZES if takes_images else ()) + TRIAL_SIZES
    if resolve_shapes(inputs, sizes[0]) == resolve_shapes(inputs, sizes[1]):
        sizes = sizes[:1]
    has_scalar = any(tensor.shape == [] and _kind(tensor) in {"i", "u"} for tensor in inputs)
    scalars = TRIAL_SCALARS if has_scalar else TRIAL_SCALARS[:1]
    for size, scalar in product(sizes, scalars):
        yield Trial(size, scalar)


def _try(session: Session, samples: SyntheticSamples) -> list[Array]:
    """Return the answers to the first sample."""
    shapes = resolve_shapes(samples.inputs, samples.trial.size)
    for name, shape in shapes.items():
        if np.prod(shape, dtype=np.float64) > MAX_SAMPLE_BYTES / 8:
            raise CalibrationError(f'input "{name}" of shape {shape} is too large to make up')
    outputs = run(session, next(iter(samples)).feeds, failure=CalibrationError)
    answers = [as_array(value) for value in outputs]
    if any(answer.size == 0 for answer in answers):
        raise CalibrationError("an output comes out empty")
    return answers


def _refuse_others(inputs: Sequence[TensorInfo]) -> None:
    """Raise where the values of an input cannot be made up."""
    refused = [tensor for tensor in inputs if not can_make(tensor)]
    if refused:
        raise CalibrationError(
            f'input "{refused[0].name}" is of type {refused[0].dtype}, which cannot be made up:'
            " provide a calibration dataset"
        )


def _says_something(answers: Sequence[Array]) -> bool:
    """Return whether answers are more than zeros, as far as they are numbers."""
    floats = [answer for answer in answers if answer.dtype.kind == "f"]
    return not floats or any(np.nan_to_num(answer).any() for answer in floats)


def can_make(tensor: TensorInfo) -> bool:
    """Return whether values of an input can be made up."""
    return tensor.shape is not None and _kind(tensor) in {"b", "i", "u", "f", "O"}


def _kind(tensor: TensorInfo) -> str:
    """Return numpy's letter for the kind of an input's values, none where it has no tensor."""
    if tensor.dtype == "string":
        return "O"
    try:
        return np.dtype(tensor.dtype).kind
    except TypeError:
        return ""


def _size(tensor: TensorInfo, axis: int, symbols: Mapping[str, int], size: int) -> int:
    dimension = (tensor.shape or [])[axis]
    if isinstance(dimension, str):
        return symbols[dimension]
    if dimension is not None and dimension > 0:
        return dimension
    return 1 if _is_batch(tensor, axis) else size


def _is_batch(tensor: TensorInfo, axis: int) -> bool:
    """Return whether an axis counts independent items: the first, or one that says so instead."""
    shape = tensor.shape or [None]
    first = shape[0]
    if axis == 0:
        return True
    if _is_named_batch(shape[axis]):
        return not _is_named_batch(first)
    is_fixed = isinstance(first, int) and first > 0
    return is_fixed and len(shape) == 3 and axis == 1


def _is_named_batch(dimension: int | str | None) -> bool:
    return isinstance(dimension, str) and BATCH_NAMES.search(dimension) is not None
