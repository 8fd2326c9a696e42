"""Running several samples at once, where that changes no bit of any answer."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count

import numpy as np

from worker.engine.errors import EngineError
from worker.engine.runtime import Session, run
from worker.engine.samples import Array, Feeds, Sample

MOST_SAMPLES = 16
MAX_BATCH_BYTES = 2**18
"""Of one batch, inputs and outputs: to run larger samples costs far more than to start a run."""


class BatchRunner:
    """Runs samples together while the model answers each as it does alone.

    Every batch has one of its samples run alone as well, another one each time, and the first batch
    those at both ends: where the first axis is time, what comes before or behind a sample tells
    there. A model with ranges found at run time, or whose kernels round differently for several
    rows, differs too, and is run one by one from then on.
    """

    def __init__(self, session: Session, failure: type[EngineError]) -> None:
        self._session = session
        self._failure = failure
        self._names = [value.name for value in session.get_inputs()]
        self.output_count = len(session.get_outputs())
        self._is_batched = bool(self._names) and all(
            value.shape and not isinstance(value.shape[0], int)
            for value in [*session.get_inputs(), *session.get_outputs()]
        )
        self._checks = count()

    def run(self, group: Sequence[Feeds]) -> list[list[Array]]:
        """Return each sample's outputs, in order.

        Raises:
            EngineError: the model does not run, of the type given.
        """
        if self._is_batched and len(group) > 1:
            answers = self._run_together(group)
            if answers is not None:
                return answers
            self._is_batched = False
        return [self._run_alone(feeds) for feeds in group]

    def _run_alone(self, feeds: Feeds) -> list[Array]:
        return run(self._session, feeds, failure=self._failure)

    def _run_together(self, group: Sequence[Feeds]) -> list[list[Array]] | None:
        """Return the outputs of a batch cut into those of its samples, None where they differ."""
        sizes = [len(feeds[self._names[0]]) for feeds in group]
        if any(len(array) != sizes[0] for feeds in group for array in feeds.values()):
            return None
        batch = {name: np.concatenate([feeds[name] for feeds in group]) for name in self._names}
        try:
            outputs = run(self._session, batch, failure=self._failure)
        except self._failure:
            return None  # alone they may run
        if any(not _has_rows(output, sum(sizes)) for output in outputs):
            return None
        parts = [np.split(output, len(group)) for output in outputs]
        answers = [list(answer) for answer in zip(*parts, strict=True)]
        turn = next(self._checks)
        places = [turn % len(group)] if turn else [0, len(group) - 1]
        is_same = all(self._is_alone_as(group[place], answers[place]) for place in places)
        return answers if is_same else None

    def _is_alone_as(self, feeds: Feeds, answer: Sequence[Array]) -> bool:
        """Return whether a sample has the same answer where it is run alone."""
        pairs = zip(answer, self._run_alone(feeds), strict=True)
        return all(_is_same(one, other) for one, other in pairs)


class Groups:
    """Consecutive samples whose inputs have the same shapes and which are small together.

    The first is a group by itself; `note` tells by its answer how large the others' will be.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples
        self._answer_bytes = MAX_BATCH_BYTES

    def note(self, answer: Sequence[object]) -> None:
        """Take note of one sample's outputs."""
        self._answer_bytes = sum(getattr(output, "nbytes", 0) for output in answer)

    def __iter__(self) -> Iterator[list[Sample]]:
        group: list[Sample] = []
        size = 0
        for sample in self._samples:
            added = sum(array.nbytes for array in sample.feeds.values())
            together = size + added + (len(group) + 1) * self._answer_bytes
            is_full = len(group) == MOST_SAMPLES or together > MAX_BATCH_BYTES
            if group and (is_full or _shapes(group[0].feeds) != _shapes(sample.feeds)):
                yield group
                group, size = [], 0
            group.append(sample)
            size += added
        if group:
            yield group


def _shapes(feeds: Feeds) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in feeds.items()}


def _has_rows(output: object, rows: int) -> bool:
    return isinstance(output, np.ndarray) and output.ndim > 0 and len(output) == rows


def _is_same(one: Array, other: object) -> bool:
    """Return whether two answers are equal, NaN being equal to itself."""
    if not isinstance(other, np.ndarray) or one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
