"""Telling small grey pictures of faces from others by the heat map's highest value."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task, half
from benchmarks.tasks.metrics import area_under_curve

FACES = 100
CANVAS = 128
PATCH = 64
BACKGROUND = 127


def score(network: Network, folder: Path) -> Scores:
    """Return the area under the curve, and the accuracy at the best threshold."""
    heat = np.array([float(network.first_output(array).max()) for array in _canvases(folder)])
    truth = np.arange(len(heat)) < FACES
    best = max(float(np.mean((heat > threshold) == truth)) for threshold in np.unique(heat))
    return {"auc": area_under_curve(heat, truth), "best_accuracy": best}


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield faces and others in turn."""
    in_turn = [array for pair in _pairs(folder) for array in pair]
    for array in in_turn[:count]:
        yield network.feed(array)


def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield faces and others in turn, 1 for a face."""
    for pair in half(_pairs(folder), part):
        for array, label in zip(pair, (1, 0), strict=True):
            yield LabelledRun(network.feed(array), {"labels": np.array([label])})


def _pairs(folder: Path) -> Iterator[tuple[Array, Array]]:
    """Yield a face and a picture of something else."""
    canvases = list(_canvases(folder))
    yield from zip(canvases[:FACES], canvases[FACES:], strict=True)


def _canvases(folder: Path) -> Iterator[Array]:
    """Yield each patch enlarged on a grey canvas, as (1, 3, 128, 128) in 0 to 255."""
    margin = (CANVAS - PATCH) // 2
    for patch in np.load(folder / "data/lfw_subset.npy"):
        picture = Image.fromarray(np.uint8(patch * 255))
        canvas = Image.new("L", (CANVAS, CANVAS), BACKGROUND)
        canvas.paste(picture.resize((PATCH, PATCH), Image.Resampling.BICUBIC), (margin, margin))
        yield np.repeat(np.asarray(canvas, np.float32)[None, None], 3, axis=1)


TASK = Task(
    score,
    samples,
    judged=("auc",),
    labelled=labelled,
    metrics=({"metric": "auc", "reduce": "max"},),
    samples_are_scored=True,
)
