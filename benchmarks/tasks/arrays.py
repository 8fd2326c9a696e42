"""Classes of labelled arrays: `NAME.npz` with `x_train`, `x_test` and `y_test`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tasks.base import Feeds, LabelledRun, Network, Part, Scores, Task, half


def classes_of(name: str) -> Task:
    """Return the task of telling the classes of one dataset."""

    def score(network: Network, folder: Path) -> Scores:
        with np.load(folder / f"{name}.npz") as data:
            answer = network.first_output(data["x_test"])
            guesses = answer if answer.ndim == 1 else answer.argmax(axis=1)
            return {"accuracy": float(np.mean(guesses == data["y_test"]))}

    def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
        with np.load(folder / f"{name}.npz") as data:
            for row in data["x_train"][:count]:
                yield network.feed(row[None])

    def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
        with np.load(folder / f"{name}.npz") as data:
            for row, label in half(zip(data["x_test"], data["y_test"], strict=True), part):
                yield LabelledRun(network.feed(row[None]), {"labels": label[None]})

    return Task(score, samples, judged=("accuracy",), labelled=labelled)
