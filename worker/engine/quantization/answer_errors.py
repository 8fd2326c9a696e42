"""How far a candidate's answers are from those of the float model, in one number."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy

import numpy as np
import numpy.typing as npt
import onnx

from worker.engine.errors import CalibrationError
from worker.engine.outputs import as_array
from worker.engine.runtime import Session, open_session, run
from worker.engine.samples import Array, Feeds

Answers = list[npt.NDArray[np.float32]]


class AnswerErrors:
    """Float answers of a few samples, to measure others against.

    `tick` is called before each measurement, and may end the work.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        samples: Sequence[Feeds],
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.samples = samples
        self.tick = tick
        session = open_session(model, failure=CalibrationError)
        self.expected = [_answers(session, feeds) for feeds in samples]

    def first(self, count: int) -> "AnswerErrors":
        """Return the same for the first few samples."""
        few = copy(self)
        few.samples, few.expected = self.samples[:count], self.expected[:count]
        return few

    def of_model(self, model: onnx.ModelProto) -> float:
        """Return the error of a model with the same inputs and outputs."""
        return self.of_session(open_session(model, failure=CalibrationError), {})

    def of_session(self, session: Session, more_feeds: Mapping[str, Array]) -> float:
        """Return the largest Σ(a - b)² / Σa² of an output over the samples.

        An output of another shape counts as all wrong; those that are no floats are left out.
        """
        self.tick()
        signal = np.zeros(len(self.expected[0]))
        noise = np.zeros_like(signal)
        for feeds, expected in zip(self.samples, self.expected, strict=True):
            actual = _answers(session, {**feeds, **more_feeds})
            for index, (a, b) in enumerate(zip(expected, actual, strict=True)):
                difference = a - b if a.shape == b.shape else a
                signal[index] += np.square(a, dtype=np.float64).sum()
                noise[index] += np.square(difference, dtype=np.float64).sum()
        finite = np.nan_to_num(noise[signal > 0] / signal[signal > 0], nan=1.0, posinf=1.0)
        return float(finite.max(initial=0.0))


def _answers(session: Session, feeds: Feeds) -> Answers:
    answers = [as_array(each) for each in run(session, feeds, failure=CalibrationError)]
    return [each.astype(np.float32) for each in answers if each.dtype.kind == "f"]
