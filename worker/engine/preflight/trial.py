"""One short run on made-up inputs: how much work it is, and what comes out."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from worker.engine.datasets.synthetic import (
    SyntheticSamples,
    can_make,
    resolve_shapes,
    table_sizes,
    trials,
)
from worker.engine.errors import EngineError, ResourceError, UnsupportedModelError
from worker.engine.macs import macs_of, named_shapes, names_to_count, shape_nodes
from worker.engine.model_io import LoadedModel
from worker.engine.preflight.contents import TrialRun
from worker.engine.requests import TensorInfo
from worker.engine.runtime import Session, open_session, run_within
from worker.engine.samples import Array, Feeds

SIZES = (64, 32, 16, 128, 224, 8, 4, 2, 1, 48, 80, 256, 320, 512, 640, 1024)
"""Sizes tried for free dimensions: small ones first, for a run that ends soon."""
SECONDS = 1.0
"""For all tries together."""
MOST_VALUES = 2**22
"""In one input."""


@dataclass(frozen=True)
class Trial:
    """What is told of the run, and the graph's outputs in their order; none where it has none."""

    told: TrialRun
    outputs: list[Array] = field(default_factory=list)


def try_out(loaded: LoadedModel, inputs: Sequence[TensorInfo], workdir: Path) -> Trial:
    """Run the model once on the first made-up inputs that it takes.

    The runtime optimizes nothing: that would take longer than the run.
    """
    refused = [tensor for tensor in inputs if not can_make(tensor)]
    if refused:
        return _without(
            f"the input {refused[0].name!r} is of type {refused[0].dtype}, which cannot be made up"
        )
    names = names_to_count(loaded.model)
    with _copy_that_looks(loaded, names or [], workdir) as path:
        # Refused here, the model is one that no job can take.
        session = open_session(path, optimize=False, failure=UnsupportedModelError)
    return _first_run(session, loaded, inputs, names)


@contextmanager
def _copy_that_looks(loaded: LoadedModel, names: list[str], workdir: Path) -> Iterator[Path]:
    """Copy the model's file to where its external data is found, with the shapes of values."""
    folder = workdir if len(loaded.files) == 1 else loaded.path.parent
    path = folder / f"{uuid4().hex}.onnx"
    try:
        shutil.copyfile(loaded.path, path)
        with path.open("ab") as file:
            file.write(shape_nodes(names))
        yield path
    finally:
        path.unlink(missing_ok=True)


def _first_run(
    session: Session,
    loaded: LoadedModel,
    inputs: Sequence[TensorInfo],
    names: list[str] | None,
) -> Trial:
    """Try sizes in turn until the model takes one, or the time is over."""
    below = table_sizes(loaded.model)
    problem = ""
    deadline = time.monotonic() + SECONDS
    for trial in trials(inputs, SIZES):
        shapes = resolve_shapes(inputs, trial.size)
        if any(_values(shape) > MOST_VALUES for shape in shapes.values()):
            problem = problem or "an input is too large to make up"
            continue
        samples = SyntheticSamples(inputs, below, trial, seed=0, count=1)
        feeds = next(iter(samples)).feeds
        started = time.monotonic()
        try:
            outputs = run_within(session, feeds, deadline - started)
        except ResourceError:
            raise
        except EngineError as error:
            problem = problem or f"the model does not run on made-up inputs: {error}"
            continue
        if outputs is None:
            return _without(f"a run takes more than {SECONDS:g} s", feeds)
        return _told(loaded, feeds, outputs, names, time.monotonic() - started)
    return _without(problem)


def _told(
    loaded: LoadedModel,
    feeds: Feeds,
    outputs: list[Array],
    names: list[str] | None,
    duration_seconds: float,
) -> Trial:
    macs = None if names is None else macs_of(loaded.model, named_shapes(names, outputs))
    problem = None
    if macs is None:
        problem = "how often the bodies of control flow run, or what an operator sums, is not known"
    told = TrialRun(
        input_shapes=_shapes(feeds), macs=macs, duration_seconds=duration_seconds, problem=problem
    )
    return Trial(told, outputs[: len(loaded.model.graph.output)])


def _without(problem: str, feeds: Feeds | None = None) -> Trial:
    shapes = _shapes(feeds or {})
    return Trial(TrialRun(input_shapes=shapes, macs=None, duration_seconds=None, problem=problem))


def _shapes(feeds: Feeds) -> dict[str, list[int]]:
    return {name: list(array.shape) for name, array in feeds.items()}


def _values(shape: tuple[int, ...]) -> float:
    values = 1.0
    for size in shape:
        values *= size
    return values
