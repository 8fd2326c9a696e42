"""What a model answers to one sample, before and after a rewrite."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from typing_extensions import override

from worker.engine.errors import PassError, ResourceError
from worker.engine.graphs import walk_nodes
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds

RELATIVE_TOLERANCE = 1e-4


class Answers:
    """The answers of a model that must not change.

    Where the model draws random numbers or cannot be run on the sample, and without a sample, only
    loading is compared.
    """

    def __init__(self, model: onnx.ModelProto, feeds: Feeds | None) -> None:
        self._feeds = feeds
        self.outputs = _answer(model, feeds)
        self._is_repeatable = not _is_random(model)

    def are_kept_by(self, model: onnx.ModelProto) -> bool:
        """Return whether a rewritten model loads and gives the same answers, but float noise."""
        try:
            session = open_session(model, failure=PassError)
            if self._feeds is None or self.outputs is None:
                return True
            answers: list[Any] = run(session, self._feeds, failure=PassError)
        except (PassError, ResourceError):
            return False
        return not self._is_repeatable or _agree(self.outputs, answers)


class AnyAnswers(Answers):
    """Answers that nobody looks at: whatever a rewrite does to them is taken for right."""

    def __init__(self) -> None:
        self.outputs = None

    @override
    def are_kept_by(self, model: onnx.ModelProto) -> bool:
        """Return true."""
        return True


def _answer(model: onnx.ModelProto, feeds: Feeds | None) -> list[Any] | None:
    if feeds is None:
        return None
    try:
        return run(open_session(model, failure=PassError), feeds, failure=PassError)
    except (PassError, ResourceError):
        return None


def _is_random(model: onnx.ModelProto) -> bool:
    """Return whether a model draws random numbers, going by the names of its operators."""
    words = ("Random", "Multinomial", "Bernoulli")
    return any(node.op_type.startswith(words) for node in walk_nodes(model))


def _agree(expected: Any, actual: Any) -> bool:  # noqa: ANN401 - sequences and maps are outputs too
    """Return whether two outputs are equal: numbers within float noise, all else exactly."""
    if isinstance(expected, Mapping):
        return (
            isinstance(actual, Mapping)
            and expected.keys() == actual.keys()
            and all(_agree(value, actual[key]) for key, value in expected.items())
        )
    if isinstance(expected, Sequence) and not isinstance(expected, str | bytes):
        return len(expected) == len(actual) and all(map(_agree, expected, actual))
    left, right = np.asarray(expected), np.asarray(actual)
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind not in "fc":
        return bool(np.array_equal(left, right))
    finite = np.abs(left[np.isfinite(left)])
    tolerance = RELATIVE_TOLERANCE * float(finite.max(initial=0))
    return bool(np.allclose(left, right, rtol=0, atol=tolerance, equal_nan=True))
