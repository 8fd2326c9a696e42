"""How good the answers of a compressed model are on samples that took no part in its making."""

from collections.abc import Sequence
from math import inf

import onnx

from worker.engine.errors import CalibrationError
from worker.engine.fidelity import OutputComparison
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds


class HeldBackAnswers:
    """What a float model answers on a few samples, to compare compressed models with."""

    def __init__(self, model: onnx.ModelProto, samples: Sequence[Feeds]) -> None:
        self._samples = samples
        session = open_session(model, failure=CalibrationError)
        self._expected = [run(session, feeds, failure=CalibrationError) for feeds in samples]

    def worst_db(self, model: onnx.ModelProto) -> float:
        """Return the SQNR of a model's worst output, or part of one; infinity where all agree."""
        session = open_session(model, failure=CalibrationError)
        comparisons: list[OutputComparison] = []
        for feeds, expected in zip(self._samples, self._expected, strict=True):
            answers = run(session, feeds, failure=CalibrationError)
            comparisons = comparisons or [OutputComparison(str(i)) for i in range(len(answers))]
            for comparison, reference, answer in zip(comparisons, expected, answers, strict=True):
                comparison.add(reference, answer)
        found = [comparison.result("dataset") for comparison in comparisons]
        parts = [each.sqnr_db for each in found]
        parts += [group.sqnr_db for each in found for group in each.groups]
        return min((part for part in parts if part is not None), default=inf)
