"""Which nodes lost a ruined result's answers: both models' inner values side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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
from worker.engine.tidying import Tidied

VALUES_AT_A_TIME = 16
MAX_VALUES = 2000
CLEAN_DB = 60.0
"""Above this, values count as equal."""
LOST_DB = 20.0
LEAST_LOSS_DB = 3.0
"""Below 0 dB there is nothing left to lose."""
NODES_NAMED = 3


@dataclass(frozen=True)
class ModelPair:
    """The prepared model and the result, and what the result calls the former's values."""

    original: onnx.ModelProto
    result: onnx.ModelProto
    tidied: Tidied = field(default_factory=Tidied)


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


def describe_blame(pair: ModelPair, feeds: Feeds, folder: Path) -> str:
    """Return a sentence naming the nodes where fidelity falls most, empty where none stands out."""
    try:
        losses = worst_losses(pair.original, value_fidelity(pair, feeds, folder))
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


def value_fidelity(pair: ModelPair, feeds: Feeds, folder: Path) -> dict[str, float]:
    """Return the SQNR on one sample of each value that both main graphs compute."""
    names = dict(islice(_common_values(pair), MAX_VALUES))
    before = _open(pair.original, list(names), folder / "original")
    after = _open(pair.result, list(names.values()), folder / "result")
    fidelity = {}
    for some in _batches(list(names)):
        expected = run(before, feeds, some)
        actual = run(after, feeds, [names[name] for name in some])
        for name, reference, answer in zip(some, expected, actual, strict=True):
            decibels = _decibels(as_array(reference), as_array(answer))
            if decibels is not None:
                fidelity[name] = decibels
    return fidelity


def _common_values(pair: ModelPair) -> Iterator[tuple[str, str]]:
    """Yield the values that both main graphs compute, as each calls them."""
    kept = {name for node in pair.result.graph.node for name in node.output}
    for node in pair.original.graph.node:
        for name in node.output:
            called = pair.tidied.name(name)
            if name and called in kept:
                yield name, called


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
