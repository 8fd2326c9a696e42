"""Samples whose empty inputs leave an output without values, so that nothing of it is compared."""

from collections import defaultdict
from collections.abc import Sequence

from worker.engine.errors import InvalidDatasetError
from worker.engine.outputs import as_array
from worker.engine.samples import DataOrigin, Sample


class EmptyAnswers:
    """Counts, for each output, the samples that leave it empty because an input is.

    Without an empty input an empty output is an answer, as a detector's that finds nothing.
    """

    def __init__(self, names: Sequence[str], origin: DataOrigin) -> None:
        self._names = names
        self._origin = origin
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._inputs: dict[str, list[str]] = {}

    def add(self, sample: Sample, answers: Sequence[object]) -> None:
        """Take in one sample and the original's outputs."""
        inputs = [name for name, array in sample.feeds.items() if array.size == 0]
        if not inputs:
            return
        for name, answer in zip(self._names, answers, strict=True):
            if as_array(answer).size == 0:
                self._counts[name] += 1
                self._inputs[name] = inputs

    def warnings(self, sample_count: int) -> list[str]:
        """Return a warning for each output that some samples leave empty.

        Raises:
            InvalidDatasetError: all samples of a dataset do: no figure would say anything of it.
        """
        warnings = []
        for output, count in self._counts.items():
            inputs = ", ".join(f'"{name}"' for name in self._inputs[output])
            if count == sample_count and self._origin == "dataset":
                raise InvalidDatasetError(
                    f'"{output}" holds no values on any evaluation sample, as {inputs} holds none:'
                    " give samples that have some"
                )
            warnings.append(
                f'"{output}" holds no values on {count} of {sample_count} evaluation samples, where'
                f" {inputs} holds none: they say nothing of it"
            )
        return warnings
