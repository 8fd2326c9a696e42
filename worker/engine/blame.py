"""Which nodes lost a ruined result's answers: both models' inner values side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx

from worker.engine.decibels import signal_to_noise_db
from worker.engine.errors import EngineError, ResourceError
from worker.engine.model_files import write
from worker.engine.outputs import as_array
from worker.engine.runtime import Session, open_session, run
from worker.engine.samples import Array, Feeds

VALUES_AT_A_TIME = 16
MAX_VALUES = 2000
CLEAN_DB = 60.0
"""Above this, values count as equal."""
LOST_DB = 20.0
LEAST_LOSS_DB = 3.0
"""Below 0 dB there is nothing left to lose."""
NODES_NAMED = 3


@dataclass(frozen=True)
class Loss:
    """A node that got values of one fidelity and gave back values of another."""

    node: str
    op_type: str
    before_db: float
    after_db: float

    @property
    def decibels(self) -> float:
        """How much was lost of what was left."""
        return max(self.before_db, 0.0) - max(self.after_db, 0.0)


def describe_blame(
    original: onnx.ModelProto, result: onnx.ModelProto, feeds: Feeds, folder: Path
) -> str:
    """Return a sentence naming the nodes where fidelity falls most, empty where none stands out.

    `original` is the prepared model, whose names the result shares.
    """
    try:
        losses = worst_losses(original, value_fidelity(original, result, feeds, folder))
    except ResourceError:
        raise
    except EngineError:  # the result cannot be run inside out; the verdict stands without it
        return ""
    named = [
        f'"{loss.node}" ({loss.op_type}, from {loss.before_db:.0f} to {loss.after_db:.0f} dB)'
        for loss in losses
    ]
    return f"Most is lost at {', '.join(named)}. " if named else ""


def worst_losses(model: onnx.ModelProto, fidelity: dict[str, float]) -> list[Loss]:
    """Return the nodes whose values are much worse than what they were made from, worst first.

    A value of unknown fidelity has that of its node's worst input.
    """
    known = dict(fidelity)
    losses = []
    for node in model.graph.node:
        before = min((known.get(name, CLEAN_DB) for name in node.input if name), default=CLEAN_DB)
        for name in filter(None, node.output):
            after = known.setdefault(name, before)
            loss = Loss(node.name or name, node.op_type, before, after)
            if after < LOST_DB and loss.decibels >= LEAST_LOSS_DB:
                losses.append(loss)
    return sorted(losses, key=lambda loss: -loss.decibels)[:NODES_NAMED]


def value_fidelity(
    original: onnx.ModelProto, result: onnx.ModelProto, feeds: Feeds, folder: Path
) -> dict[str, float]:
    """Return the SQNR on one sample of each value that both main graphs compute."""
    kept = {name for node in result.graph.node for name in node.output}
    names = [name for node in original.graph.node for name in node.output if name in kept]
    names = names[:MAX_VALUES]
    sessions = [
        _open(model, names, folder / part)
        for part, model in (("original", original), ("result", result))
    ]
    fidelity = {}
    for some in _batches(names):
        expected, actual = (run(session, feeds, some) for session in sessions)
        for name, reference, answer in zip(some, expected, actual, strict=True):
            decibels = _decibels(as_array(reference), as_array(answer))
            if decibels is not None:
                fidelity[name] = decibels
    return fidelity


def _open(model: onnx.ModelProto, names: Sequence[str], folder: Path) -> Session:
    """Load a model as it is written, with inner values among its outputs.

    Protobuf messages merge where their bytes are joined, so this needs no copy of the model.
    """
    path = write(model, folder)
    own = {value.name for value in model.graph.output}
    addition = onnx.ModelProto()
    for name in names:
        if name not in own:
            addition.graph.output.add().name = name
    with path.open("ab") as file:
        file.write(addition.SerializeToString())
    return open_session(path, optimize=False)


def _batches(names: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while batch := list(islice(rest, VALUES_AT_A_TIME)):
        yield batch


def _decibels(reference: Array, answer: Array) -> float | None:
    """Return an SQNR of at most `CLEAN_DB`; None for values that do not compare."""
    if reference.dtype.kind != "f" or answer.shape != reference.shape:
        return None
    expected, actual = reference.astype(np.float64), answer.astype(np.float64)
    signal, noise = np.sum(np.square(expected)), np.sum(np.square(expected - actual))
    if not np.isfinite(noise):
        return 0.0
    decibels = signal_to_noise_db(float(signal), float(noise))
    return CLEAN_DB if decibels is None else min(CLEAN_DB, decibels)
