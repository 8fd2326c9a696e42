"""Telling the types of files: scored on Python's library, calibrated on installed packages."""

import json
import sysconfig
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tasks.base import Array, Feeds, LabelledRun, Network, Part, Scores, Task, half

FILES_OF_A_KIND = 20
SMALLEST_FILE = 256
BLOCK = 4096
KIND_OF_SUFFIX = {
    ".py": "python", ".json": "json", ".html": "html", ".css": "css", ".js": "javascript",
    ".c": "c", ".png": "png", ".gz": "gzip", ".so": "elf", ".npz": "npz", ".npy": "npy",
    ".svg": "svg", ".zip": "zip", ".pyc": "pythonbytecode", ".yaml": "yaml", ".toml": "toml",
    ".exe": "pebin", ".wav": "wav", ".onnx": "onnx",
}  # fmt: skip


def score(network: Network, folder: Path) -> Scores:
    """Return the accuracy over at most 20 files of each kind."""
    config = _config(folder)
    labels = config["target_labels_space"]
    hits = [
        labels[int(network.first_output(_bytes_input(path, config))[0].argmax())] == kind
        for path, kind in _files("stdlib")
    ]
    return {"accuracy": float(np.mean(hits))}


def samples(network: Network, folder: Path, count: int) -> Iterator[Feeds]:
    """Yield files of installed packages."""
    config = _config(folder)
    for path, _ in islice(_files("purelib"), count):
        yield network.feed(_bytes_input(path, config))


def labelled(network: Network, folder: Path, part: Part) -> Iterator[LabelledRun]:
    """Yield files of Python's library and the class of each, -1 for a kind that has none."""
    config = _config(folder)
    names = config["target_labels_space"]
    for path, kind in half(_files("stdlib"), part):
        label = names.index(kind) if kind in names else -1
        yield LabelledRun(network.feed(_bytes_input(path, config)), {"labels": np.array([label])})


def _files(library: str) -> Iterator[tuple[Path, str]]:
    """Yield the first files of each kind in one of Python's own folders, and their kind."""
    taken: Counter[str] = Counter()
    for path in sorted(Path(sysconfig.get_paths()[library]).rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in KIND_OF_SUFFIX or taken[suffix] == FILES_OF_A_KIND or not path.is_file():
            continue
        if path.stat().st_size >= SMALLEST_FILE:
            taken[suffix] += 1
            yield path, KIND_OF_SUFFIX[suffix]


def _bytes_input(path: Path, config: dict[str, Any]) -> Array:
    """Return a file's first and last bytes, blanks stripped, padded to the network's length."""
    content = path.read_bytes()
    head = content[:BLOCK].lstrip()[: config["beg_size"]]
    tail = content[-BLOCK:].rstrip()[-config["end_size"] :]
    array = np.full(config["beg_size"] + config["end_size"], config["padding_token"], np.int32)
    array[: len(head)] = list(head)
    array[len(array) - len(tail) :] = list(tail)
    return array[None]


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "magika.config.json").read_text())
    return config


TASK = Task(score, samples, judged=("accuracy",), labelled=labelled)
