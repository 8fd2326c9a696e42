"""Each compressed segment by itself, on what the float model computes: its own doing."""

from collections.abc import Collection, Sequence

import numpy as np
import onnx
from onnx import helper

from worker.engine.blame.pairing import Pairing
from worker.engine.blame.splicing import Splice
from worker.engine.decibels import FLOOR_DB, signal_to_noise_db
from worker.engine.errors import PassError
from worker.engine.runtime import open_session, run
from worker.engine.samples import Feeds


def local_errors(
    pairing: Pairing, floats: Collection[str], samples: Sequence[Feeds]
) -> dict[str, float | None]:
    """Return the SQNR of each compressed segment's worst output on the original's values.

    All are computed in one run of each sample. None stands for equal values; segments that give
    no float values are left out.
    """
    model, sums = _with_probes(pairing, floats)
    if not sums:
        return {}
    session = open_session(model, failure=PassError)
    totals = np.zeros((len(sums), 2))
    names = [name for _, pair in sums for name in pair]
    for feeds in samples:
        totals += np.asarray(run(session, feeds, names), np.float64).reshape(-1, 2)
    errors: dict[str, float | None] = {}
    for (segment, _), (signal, noise) in zip(sums, totals.tolist(), strict=True):
        found = FLOOR_DB if not np.isfinite(noise) else signal_to_noise_db(signal, noise)
        known = errors.get(segment)
        errors[segment] = found if known is None else min(known, found or known)
    return errors


Sums = list[tuple[str, tuple[str, str]]]
"""A segment, and the values that hold an output's signal and noise energy."""


def _with_probes(pairing: Pairing, floats: Collection[str]) -> tuple[onnx.ModelProto, Sums]:
    """Return the float model with every compressed segment beside it, and where the sums are."""
    splice = with_float_model(pairing)
    sums: Sums = []
    for segment in pairing.changed:
        part = splice.of_result(segment)
        splice.model.graph.node.extend(part.nodes)
        for name, output in zip(segment.outputs, part.outputs, strict=True):
            if name in floats:
                sums.append((segment.name, _add_sums(splice, name, output)))
    splice.fetch([name for _, pair in sums for name in pair])
    return splice.model, sums


def with_float_model(pairing: Pairing) -> Splice:
    """Return a splice of all the original's nodes."""
    splice = Splice(pairing)
    constant = set(map(id, pairing.before.constant_nodes))
    splice.add((node for node in pairing.before.nodes if id(node) not in constant), {})
    return splice


def _add_sums(splice: Splice, expected: str, actual: str) -> tuple[str, str]:
    """Add nodes that compute Σ a² and Σ (a - b)²; return those values."""
    difference, signal, noise = (
        splice.names.name(f"{expected}/{part}") for part in ("difference", "signal", "noise")
    )
    splice.model.graph.node.extend(
        [
            helper.make_node("Sub", [actual, expected], [difference]),
            helper.make_node("ReduceSumSquare", [expected], [signal], keepdims=0),
            helper.make_node("ReduceSumSquare", [difference], [noise], keepdims=0),
        ]
    )
    return signal, noise
