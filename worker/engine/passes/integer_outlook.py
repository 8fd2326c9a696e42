"""What becomes of a model of which some nodes compute in integers and the rest is stored so."""

from collections.abc import Sequence

import onnx

from worker.engine.passes.base import Outlook, PartResult, SkippedNode
from worker.engine.weights.remaining import storable_names, store_remaining

LIKELY_SHARE = 1 / 3
"""Of the way from no node in integers to all: on the models of docs/benchmarks.md, with a processor
that lacks VNNI, half of the jobs end near none, and few near all."""


def integer_outlook(
    all_in_integers: onnx.ModelProto,
    floats: onnx.ModelProto,
    touched: Sequence[str],
    skipped: Sequence[SkippedNode],
) -> Outlook:
    """Return the outlook where which nodes gain from integers is measured: all of them, to none.

    Changes the float model: its weights are then stored at 8 bits.
    """
    store_remaining(floats, storable_names(floats))
    results = [PartResult(all_in_integers), PartResult(floats)]
    return Outlook(results, touched, skipped, LIKELY_SHARE)
