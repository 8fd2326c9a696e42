"""What a task is, and the network it is scored on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]
Scores = dict[str, float]
Part = Literal["whole", "evaluation", "held_out"]
"""All scored inputs, or one of two halves that share none."""
FATAL_MESSAGES_ONLY = 4


class Network:
    """A model in onnxruntime, on one thread of the CPU."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_MESSAGES_ONLY
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporter wrote beside the graph."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, feeds: Feeds) -> list[Array]:
        """Return all outputs, in graph order."""
        outputs: list[Array] = self._session.run(None, feeds)
        return outputs

    def feed(self, array: Array) -> Feeds:
        """Return the feeds of a network with one input."""
        return {self.inputs[0]: array}

    def first_output(self, array: Array) -> Array:
        """Return the first output of a network with one input."""
        return self.run(self.feed(array))[0]


@dataclass(frozen=True)
class LabelledRun:
    """The inputs of one run and the arrays that say what is right, as an upload holds them."""

    feeds: Feeds
    labels: dict[str, Array]


Item = TypeVar("Item")


def half(items: Iterable[Item], part: Part) -> list[Item]:
    """Return every other item for a half, beginning with the first or the second, or all."""
    listed = list(items)
    return {"whole": listed, "evaluation": listed[::2], "held_out": listed[1::2]}[part]


@dataclass(frozen=True)
class Task:
    """How a kind of network is scored, and real inputs to calibrate it with.

    `samples` is given as many as are wanted and may yield fewer. They are none of the scored
    inputs, but where `samples_are_scored` says that there is no other material.
    """

    score: Callable[[Network, Path], Scores]
    samples: Callable[[Network, Path, int], Iterable[Feeds]]
    judged: tuple[str, ...]
    """The scores that must not drop."""
    labelled: Callable[[Network, Path, Part], Iterable[LabelledRun]]
    """The scored inputs with what is right, or one of their halves."""
    metrics: tuple[dict[str, Any], ...] = ({"metric": "top1"},)
    """The judged scores, as a spec declares them."""
    smaller_is_better: bool = False
    samples_are_scored: bool = False

    def loss(self, before: Scores, after: Scores) -> float:
        """Return by how much the judged score that suffered most became worse."""
        sign = -1 if self.smaller_is_better else 1
        return max(sign * (before[name] - after[name]) for name in self.judged)
