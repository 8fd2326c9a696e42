"""Sequences of symbols: how many edits turn what was read into what is right."""

from collections.abc import Collection
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from typing_extensions import override

from worker.engine.samples import Array
from worker.engine.scoring.base import Answer, Floats, MisfitError, SummedMetric, ratio

MAX_LENGTH = 2**14
"""Of one sequence; comparing two takes time in the product of their lengths."""

Symbols = npt.NDArray[np.int64]


class EditRate(SummedMetric):
    """What the error rates of sequences share."""

    padding: int = -1
    """Fills up shorter sequences of labels (and of outputs); never counted."""
    ignored: Annotated[tuple[int, ...], Field(max_length=10_000)] = ()
    """Symbols left out of both sequences before they are compared, such as blanks of text."""
    end: int | None = None
    """The symbol that ends a sequence: it and all that follow it are not compared."""
    layout: Literal["batch_first", "time_first"] = "batch_first"
    """Whether class scores are (batch, time, classes) or (time, batch, classes)."""
    per: Literal["symbol", "sequence"] = "symbol"
    """`symbol` counts edits for each right symbol; `sequence` the share of sequences not read
    without a mistake."""

    larger_is_better: ClassVar[bool] = False
    undefined: ClassVar[str] = "the labels hold no symbols"

    @override
    def sums(self, answer: Answer) -> Floats:
        """Return each sample's edits and symbols, or whether it is wrong and one."""
        labels = answer.labels
        if labels.dtype.kind not in "iu":
            raise MisfitError(f"the labels are {labels.dtype}, not class numbers")
        read = self._read(answer.output, len(labels))
        right = [self._plain(np.asarray(row, np.int64).ravel()) for row in labels]
        classes = answer.output.shape[-1] if answer.output.dtype.kind == "f" else None
        self._check_symbols(np.concatenate(right), classes)
        rows = [self._compare(*pair) for pair in zip(read, right, strict=True)]
        return np.array(rows, np.float64).reshape(-1, 2)

    @override
    def total(self, sums: Floats) -> float:
        """Return the rate."""
        return ratio(sums[0], sums[1])

    def collapse(self, symbols: Symbols) -> Symbols:
        """Return what a sequence of best classes says."""
        return symbols

    def unreadable(self) -> Collection[int]:
        """Return the symbols that no sequence says."""
        return ()

    def _check_symbols(self, symbols: Symbols, classes: int | None) -> None:
        """Raise where a label holds what the output can never say."""
        is_wrong = np.isin(symbols, list(self.unreadable()))
        if classes is not None:
            is_wrong |= (symbols < 0) | (symbols >= classes)
        if is_wrong.any():
            raise MisfitError(
                f"the labels hold {symbols[is_wrong][0]}, which the output never says; `padding`"
                " and `ignored` leave symbols out"
            )

    def _read(self, output: Array, count: int) -> list[Symbols]:
        if output.dtype.kind == "f":
            if output.ndim != 3 or output.shape[-1] < 2:
                raise MisfitError("it is not (batch, time, classes)")
            scores = np.moveaxis(output, 1, 0) if self.layout == "time_first" else output
            symbols = scores.argmax(axis=-1)
        elif output.dtype.kind in "iu":
            symbols = output.reshape(len(output), -1) if output.ndim and output.size else output
        else:
            raise MisfitError(f"values of dtype {output.dtype} are neither scores nor classes")
        if len(np.atleast_1d(symbols)) != count or symbols.ndim < 2:
            raise MisfitError(f"its shape {output.shape} has not a sequence for {count} labels")
        return [self._plain(self.collapse(row.astype(np.int64))) for row in symbols]

    def _plain(self, symbols: Symbols) -> Symbols:
        if self.end is not None:
            symbols = symbols[: _first(symbols == self.end)]
        return symbols[~np.isin(symbols, [self.padding, *self.ignored])]

    def _compare(self, said: Symbols, right: Symbols) -> tuple[int, int]:
        if self.per == "sequence":
            return int(not np.array_equal(said, right)), 1
        if max(len(said), len(right)) > MAX_LENGTH:
            raise MisfitError(f"a sequence is longer than {MAX_LENGTH} symbols")
        return edit_distance(said, right), len(right)


class SequenceErrorRate(EditRate):
    """Insertions, deletions and substitutions over the length of the right sequences.

    Labels are sequences of class numbers, one for each sample, filled up with `padding`. An output
    of class scores is read by its best class at each step, one of class numbers as it is.
    """

    metric: Literal["sequence_error_rate"] = "sequence_error_rate"


class CtcErrorRate(EditRate):
    """The error rate of the greedy CTC reading: best classes, repeats merged, blanks dropped.

    With classes that are letters, the character error rate.
    """

    metric: Literal["ctc_error_rate"] = "ctc_error_rate"
    blank: int = 0
    """The class that means no symbol."""

    @override
    def unreadable(self) -> Collection[int]:
        """Return the blank."""
        return (self.blank,)

    @override
    def collapse(self, symbols: Symbols) -> Symbols:
        """Return the symbols of a path (Graves et al. 2006)."""
        if len(symbols) == 0:
            return symbols
        is_new = np.concatenate([[True], symbols[1:] != symbols[:-1]])
        return np.asarray(symbols[is_new & (symbols != self.blank)])


def edit_distance(left: Symbols, right: Symbols) -> int:
    """Return how many insertions, deletions and substitutions turn one sequence into the other."""
    places = np.arange(len(right) + 1)
    distances = places
    for row, symbol in enumerate(left, start=1):
        substituted = distances[:-1] + (right != symbol)
        best = np.concatenate([[row], np.minimum(substituted, distances[1:] + 1)])
        # an insertion costs 1 a place: the best of all places to the left, and the steps from there
        distances = np.minimum.accumulate(best - places) + places
    return int(distances[-1])


def _first(found: Array) -> int:
    return int(np.argmax(found)) if found.any() else len(found)
