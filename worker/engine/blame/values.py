"""Values that go by one name in both models, run side by side: do they mean the same?"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from worker.engine.blame.pairing import Pairing
from worker.engine.model_files import write
from worker.engine.outputs import as_array
from worker.engine.runtime import Session, open_session, run
from worker.engine.samples import Array, Feeds

FEWEST_VALUES = 8
"""That are held at first; how large those are tells how many may be ..."""
MOST_BYTES = 128 * 2**20
"""... to stay below this."""
NEGLIGIBLE_NOISE = 1e-3
"""Share of the signal below which a difference is a rounding, whatever its form."""
EXPLAINED = 0.05
"""Share of a difference that is left where a factor for each channel explains it ..."""
RESCALED = 1.2
"""... and the least factor that is none of rounding."""
ALIKE = 0.9
"""Squared cosine of a channel with itself, before and after, that scaling leaves."""
TINY = float(np.finfo(np.float64).tiny)
VALUES_OF_A_CHANNEL = 8
"""Fewer values could be explained by any factor."""
ENOUGH = 2**18
"""Of one value, to tell."""


@dataclass
class Meanings:
    """Which values may be compared.

    `parted` have another type, shape or scale in the result; `floats` are float numbers in both.
    """

    parted: set[str] = field(default_factory=set)
    floats: set[str] = field(default_factory=set)


def compare_meanings(pairing: Pairing, feeds: Feeds, folder: Path) -> Meanings:
    """Return what one sample says about the values that compressed segments read and give."""
    touched = [n for s in pairing.changed for n in [*pairing.inputs_of(s), *s.outputs]]
    names = {name: pairing.names[name] for name in dict.fromkeys(touched)}
    meanings = Meanings()
    for name, expected, actual in _side_by_side(pairing, names, feeds, folder):
        if expected.dtype != actual.dtype or expected.shape != actual.shape:
            meanings.parted.add(name)
        elif expected.dtype in {np.dtype(np.float32), np.dtype(np.float64)}:
            is_other = is_rescaled(expected, actual)
            (meanings.parted if is_other else meanings.floats).add(name)
    # The answers are what all is judged by: they mean the same by definition.
    meanings.parted -= {value.name for value in pairing.pair.original.graph.output}
    return meanings


def is_rescaled(expected: Array, actual: Array) -> bool:
    """Return whether one factor for each channel turns most of one array into the other.

    Methods that move scales from layer to layer leave such values behind, under their old names.
    """
    reference, answer = (
        np.nan_to_num(_few(each).astype(np.float64)) for each in (expected, actual)
    )
    noise, signal = float(np.sum((answer - reference) ** 2)), float(np.sum(reference**2))
    if noise <= NEGLIGIBLE_NOISE * signal or reference.ndim < 2:
        return False
    return any(_explains(reference, answer, axis, noise) for axis in {1, reference.ndim - 1})


def _few(array: Array) -> Array:
    """Return evenly spaced rows of an image, or a like value, that has very many."""
    if array.ndim < 4:
        return array
    return array[:, :, :: max(1, min(array.shape[2] // VALUES_OF_A_CHANNEL, array.size // ENOUGH))]


def _explains(
    reference: npt.NDArray[np.float64], answer: npt.NDArray[np.float64], axis: int, noise: float
) -> bool:
    rows, others = (
        np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1) for each in (reference, answer)
    )
    if rows.shape[1] < VALUES_OF_A_CHANNEL:
        return False
    energy, answered = np.sum(rows**2, axis=1), np.sum(others**2, axis=1)
    heard = energy > NEGLIGIBLE_NOISE * energy.sum()
    products = np.sum(rows * others, axis=1)[heard]
    likeness = np.square(products) / np.maximum(energy * answered, TINY)[heard]
    if (likeness < ALIKE).any() or (products <= 0).any():
        return False  # a channel that became another one, or none, was not just scaled
    factors = products / energy[heard]
    left = float(np.sum((others[heard] - factors[:, None] * rows[heard]) ** 2))
    return left < EXPLAINED * noise and bool((np.abs(np.log(factors)) > np.log(RESCALED)).any())


def _side_by_side(
    pairing: Pairing, names: Mapping[str, str], feeds: Feeds, folder: Path
) -> Iterator[tuple[str, Array, Array]]:
    """Yield each value of both models, a few at a time in memory."""
    before = _open(pairing.pair.original, names.keys(), folder / "original")
    after = _open(pairing.pair.result, names.values(), folder / "result")
    rest, count = list(names), FEWEST_VALUES
    while rest:
        some, rest = rest[:count], rest[count:]
        expected = [as_array(value) for value in run(before, feeds, some)]
        actual = [as_array(value) for value in run(after, feeds, [names[name] for name in some])]
        yield from zip(some, expected, actual, strict=True)
        held = sum(array.nbytes for array in [*expected, *actual])
        count = max(1, len(some) * MOST_BYTES // max(1, held))


def _open(model: onnx.ModelProto, names: Collection[str], folder: Path) -> Session:
    """Load a model as it is written, with inner values among its outputs.

    Protobuf messages merge where their bytes are joined, so this needs no copy of the model.
    """
    path = write(model, folder)
    own = {value.name for value in model.graph.output}
    addition = onnx.ModelProto()
    for name in names:
        if name not in own:
            addition.graph.output.add().name = name
    with path.open("ab") as file:
        file.write(addition.SerializeToString())
    return open_session(path, optimize=False)
