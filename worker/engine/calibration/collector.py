"""Stream samples through a model and keep statistics of its tensors, never their values."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from worker.engine import runtime
from worker.engine.calibration.histogram import RunningRange
from worker.engine.calibration.stored import StoredStatistics
from worker.engine.errors import CalibrationError
from worker.engine.model_files import write
from worker.engine.samples import Array, Feeds

if TYPE_CHECKING:
    # The passes import this module, so it cannot import their package.
    from worker.engine.passes.base import PassContext

Kind = type[RunningRange]

FETCHED_BYTES = 256 * 2**20
"""Activations fetched from one run; the samples are run again for those that do not fit."""
FLOAT_BYTES = 4
FLOAT_TYPES = (np.dtype(np.float32), np.dtype(np.float16))
SIZE_SUFFIX = "::onnxpress_size"


def collect(
    model: onnx.ModelProto,
    tensors: Iterable[str],
    context: "PassContext",
    kind: Kind,
) -> dict[str, RunningRange]:
    """Run the samples and return statistics of one kind; see `collect_kinds`."""
    return collect_kinds(model, {kind: tensors}, context)[kind]


def collect_kinds(
    model: onnx.ModelProto, wanted: Mapping[Kind, Iterable[str]], context: "PassContext"
) -> dict[Kind, dict[str, RunningRange]]:
    """Run every sample once and return the statistics of each kind for its float tensors.

    The tensors are graph inputs, or outputs of nodes of the top-level graph; those of other types
    are left out of the answer. At most one sample's activations are in memory at a time. What
    another job with the same model and samples saw is taken from the context's cache.

    Raises:
        CalibrationError: there are no samples, one cannot be run, or a tensor holds NaN or
            infinite values.
    """
    if not len(context.samples):
        raise CalibrationError("there are no calibration samples; give at least one")
    names = {kind: list(dict.fromkeys(tensors)) for kind, tensors in wanted.items()}
    collector = _Collector(model, context)
    stored = {kind: StoredStatistics(collector.files, context, kind) for kind in wanted}
    known = {kind: stored[kind].load() for kind in wanted}
    missing = {kind: [name for name in names[kind] if name not in known[kind]] for kind in wanted}
    for done in collector.observe_all({kind: each for kind, each in missing.items() if each}):
        context.report_progress("calibrating", done)
    for kind, lacking in missing.items():
        known[kind] |= {name: collector.observed.get((kind, name), kind()) for name in lacking}
        if lacking:
            stored[kind].save(known[kind])
    return {
        kind: {name: known[kind][name] for name in names[kind] if not known[kind][name].is_empty}
        for kind in wanted
    }


class _Collector:
    """One collection under way: the model, the samples and what was observed so far."""

    def __init__(self, model: onnx.ModelProto, context: "PassContext") -> None:
        self.inputs = {value.name for value in model.graph.input}
        self.own_outputs = {value.name for value in model.graph.output}
        self.context = context
        self.path = write(model, context.workdir / "calibration")
        self.files = sorted(self.path.parent.iterdir())
        self.model_bytes = self.path.stat().st_size
        self.kinds: dict[str, list[Kind]] = defaultdict(list)
        self.observed: dict[tuple[Kind, str], RunningRange] = {}

    def observe_all(self, wanted: Mapping[Kind, Sequence[str]]) -> Iterator[float]:
        """Update the statistics of tensors by the samples; yield the fraction done."""
        for kind, names in wanted.items():
            for name in names:
                self.kinds[name].append(kind)
        if not self.kinds:
            return
        groups = self.groups([name for name in self.kinds if name not in self.inputs])
        for number, group in enumerate(groups):
            fed = [name for name in self.kinds if name in self.inputs] if number == 0 else []
            for done in self.observe(group, fed):
                yield (number + done) / len(groups)

    def groups(self, names: Sequence[str]) -> list[list[str]]:
        """Split tensors into groups that one run may return, by their sizes in the first sample."""
        groups: list[list[str]] = [[]]
        room = FETCHED_BYTES
        for name, size_bytes in zip(names, self._sizes_bytes(names), strict=True):
            if size_bytes > room and groups[-1]:
                groups.append([])
                room = FETCHED_BYTES
            groups[-1].append(name)
            room -= size_bytes
        return groups

    def observe(self, fetched: Sequence[str], fed: Sequence[str]) -> Iterator[float]:
        """Run the samples once and update the statistics; yield the fraction done."""
        session = self._open(fetched)
        count = self._count([*fetched, *fed])
        for index, sample in enumerate(islice(self.context.samples, count)):
            for name in fed:
                self._update(name, sample.feeds[name], index)
            arrays = self._run(session, sample.feeds, fetched, index) if fetched else []
            for name, array in zip(fetched, arrays, strict=True):
                self._update(name, array, index)
            yield (index + 1) / count

    def _count(self, names: Iterable[str]) -> int:
        """Return how many samples those are to see that want the most."""
        every = len(self.context.samples)
        limits = [kind.most_samples for name in names for kind in self.kinds[name]]
        return max(every if limit is None else min(limit, every) for limit in limits)

    def _sizes_bytes(self, names: Sequence[str]) -> list[int]:
        """Return each tensor's size, which the first sample is run for without fetching any."""
        if not names:
            return []
        sizes = [f"{name}{SIZE_SUFFIX}" for name in names]
        nodes = [
            helper.make_node("Size", [name], [size])
            for name, size in zip(names, sizes, strict=True)
        ]
        first = next(iter(self.context.samples))
        counts = self._run(self._open(sizes, nodes), first.feeds, sizes, 0)
        return [int(count) * FLOAT_BYTES for count in counts]

    def _open(
        self, outputs: Sequence[str], nodes: Sequence[onnx.NodeProto] = ()
    ) -> runtime.Session:
        """Load the model with more graph outputs, and nodes, than it has.

        Protobuf messages merge where their bytes are joined, so this needs no copy of the model.
        """
        addition = onnx.ModelProto()
        addition.graph.node.extend(nodes)
        for name in outputs:
            if name not in self.own_outputs:
                addition.graph.output.add().name = name
        with self.path.open("r+b") as file:
            file.truncate(self.model_bytes)
            file.seek(self.model_bytes)
            file.write(addition.SerializeToString())
        return runtime.open_session(
            self.path,
            execution_provider=self.context.execution_provider,
            # What onnxruntime fuses depends on what is fetched, and the last bits on what is fused;
            # as it is, each tensor's values are the same whatever else is fetched.
            optimize=False,
            failure=CalibrationError,
        )

    def _run(
        self, session: runtime.Session, feeds: Feeds, outputs: Sequence[str], index: int
    ) -> list[Array]:
        try:
            return runtime.run(session, feeds, outputs, failure=CalibrationError)
        except CalibrationError as error:
            raise CalibrationError(f"calibration sample {index}: {error}") from error

    def _update(self, name: str, array: Array, index: int) -> None:
        if array.dtype not in FLOAT_TYPES or not array.size:
            return
        for kind in self.kinds[name]:
            if kind.most_samples is not None and index >= kind.most_samples:
                continue
            statistics = self.observed.setdefault((kind, name), kind())
            statistics.update(array)
            if not statistics.is_finite:
                raise CalibrationError(
                    f"tensor {name} holds NaN or infinite values for calibration sample {index}; "
                    "mend that sample, or exclude the nodes that read or write the tensor"
                )
