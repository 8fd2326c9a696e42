"""What the values are like that a segment rounds, and what the rounding does to them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from worker.engine.blame.pairing import Pairing, Segment
from worker.engine.blame.probing import with_float_model
from worker.engine.calibration.histogram import Histogram
from worker.engine.errors import PassError
from worker.engine.quantization.placement import MOVING_OP_TYPES
from worker.engine.runtime import open_session, run
from worker.engine.samples import Array, Feeds

PASSING_OP_TYPES = {*MOVING_OP_TYPES, "Relu", "Clip", "QuantizeLinear", "DequantizeLinear"}
"""A value behind these is the one before them, as far as its range goes."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rounding:
    """A QuantizeLinear of one scale: what it rounds, under the original's name where it has one.

    Args:
        what: whether the segment reads the value, or gives it.
        source: the result's name of the value that is rounded.
    """

    what: Literal["input", "output"]
    name: str
    source: str
    scale: float
    zero_point: int
    lowest: float
    highest: float
    levels: int


@dataclass
class Observed:
    """Statistics of one value over the samples."""

    histogram: Histogram = field(default_factory=Histogram)
    signal: float = 0.0
    clipping: float = 0.0
    rounding: float = 0.0
    clipped: int = 0
    peaks: Vector | None = None
    """Of each channel, the second axis."""
    least: Vector | None = None
    most: Vector | None = None

    def add(self, array: Array, rounding: Rounding | None) -> None:
        """Take in one sample's values."""
        values = np.nan_to_num(array.astype(np.float64))
        self.histogram.update(values.astype(np.float32))
        self.signal += float(np.sum(values**2))
        if rounding is not None:
            inside = np.clip(values, rounding.lowest, rounding.highest)
            rounded = np.round(inside / rounding.scale) * rounding.scale
            self.clipping += float(np.sum((values - inside) ** 2))
            self.rounding += float(np.sum((inside - rounded) ** 2))
            self.clipped += int(np.sum(np.abs(values - inside) > rounding.scale / 2))
        self._add_channels(values)

    @property
    def peak(self) -> float:
        """The largest magnitude."""
        return max(-self.histogram.lowest, self.histogram.highest, 0.0)

    @property
    def clipped_share(self) -> float:
        """Share of the values that the range does not hold."""
        return self.clipped / max(self.histogram.count, 1)

    @property
    def common_peak(self) -> float:
        """The 99.9th percentile of the magnitudes."""
        if not self.histogram.count:
            return 0.0
        magnitudes = np.abs(self.histogram.centers)
        order = np.argsort(magnitudes)
        counts = np.cumsum(self.histogram.counts[order])
        index = int(np.searchsorted(counts, 0.999 * counts[-1]))
        return float(magnitudes[order][min(index, len(order) - 1)])

    @property
    def dead_channels(self) -> list[int]:
        """The channels that hold one number only, over all samples."""
        if self.least is None or self.most is None:
            return []
        return [int(index) for index in np.flatnonzero(self.least == self.most)]

    def _add_channels(self, values: Vector) -> None:
        if values.ndim < 2 or (self.peaks is not None and len(self.peaks) != values.shape[1]):
            return
        rows = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        if not rows.size:
            return
        least, most = rows.min(axis=1), rows.max(axis=1)
        if self.least is not None and self.most is not None:
            least, most = np.minimum(self.least, least), np.maximum(self.most, most)
        self.least, self.most = least, most
        self.peaks = np.maximum(-least, most)


@dataclass
class SegmentValues:
    """A segment's roundings, and what was seen of the values it rounds, reads and gives."""

    roundings: list[tuple[Rounding, Observed]] = field(default_factory=list)
    output: Observed = field(default_factory=Observed)
    branches: dict[str, dict[str, Observed]] = field(default_factory=dict)
    """The inputs of the Concat that a rounded value comes from, by the value and then by name."""
    concats: dict[str, str] = field(default_factory=dict)
    """The name of that Concat."""


def observe(
    pairing: Pairing, segments: Sequence[Segment], samples: Sequence[Feeds]
) -> dict[str, SegmentValues]:
    """Return what the samples say about the values of some segments, by name.

    The values are the original's; those that only the result has are computed from them.
    """
    splice = with_float_model(pairing)
    values = {segment.name: SegmentValues() for segment in segments}
    wanted: list[tuple[str, Observed, Rounding | None]] = []
    for segment in segments:
        part, seen = splice.of_result(segment), values[segment.name]
        splice.model.graph.node.extend(part.nodes)
        wanted.append((_activated(pairing, segment.outputs[0]), seen.output, None))
        for rounding in roundings_of(pairing, segment):
            observed = Observed()
            seen.roundings.append((rounding, observed))
            is_own = rounding.name not in pairing.names
            name = part.names.get(rounding.source, rounding.name) if is_own else rounding.name
            wanted.append((name, observed, rounding))
            concat = _concat_behind(pairing, rounding.name)
            if concat is not None:
                seen.concats[rounding.name] = concat.name
                seen.branches[rounding.name] = {name: Observed() for name in concat.input}
                wanted += [(n, o, None) for n, o in seen.branches[rounding.name].items()]
    known = pairing.before.constants | pairing.before.inputs
    splice.fetch(name for name, _, _ in wanted if name not in known)
    session = open_session(splice.model, failure=PassError)
    fetched = [value.name for value in session.get_outputs()]
    for feeds in samples:
        found = {**feeds, **dict(zip(fetched, run(session, feeds), strict=True))}
        for name, observed, by in wanted:
            array = found.get(name)
            if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                observed.add(array, by)
    return values


def roundings_of(pairing: Pairing, segment: Segment) -> Iterator[Rounding]:
    """Yield the activations that a compressed segment rounds by one fixed scale."""
    names = {now: name for name, now in pairing.names.items()}
    readers = {name: node for node in segment.after for name in node.input}
    outputs = {pairing.names[name] for name in segment.outputs}
    for node in segment.after:
        if node.op_type != "QuantizeLinear" or len(node.input) < 3:
            continue
        scale, zero_point = (_constant(pairing, name) for name in node.input[1:3])
        if scale is None or zero_point is None or scale.size != 1 or scale.item() == 0:
            continue
        reader = readers.get(node.output[0])
        target = "" if reader is None else reader.output[0]
        is_output = target in outputs
        name = names.get(target if is_output else node.input[0], node.input[0])
        limits = np.iinfo(zero_point.dtype.name)
        step, zero = float(scale.item()), int(zero_point.item())
        yield Rounding(
            "output" if is_output else "input",
            name,
            node.input[0],
            step,
            zero,
            (limits.min - zero) * step,
            (limits.max - zero) * step,
            limits.max - limits.min + 1,
        )


def _constant(pairing: Pairing, name: str) -> Array | None:
    tensor = pairing.after.initializers.get(name)
    return None if tensor is None else numpy_helper.to_array(tensor)


def _activated(pairing: Pairing, name: str) -> str:
    """Return what a Relu or Clip makes of a value, where it alone reads it."""
    readers = [node for node in pairing.before.nodes if name in node.input]
    is_cut = len(readers) == 1 and readers[0].op_type in {"Relu", "Clip"}
    return str(readers[0].output[0]) if is_cut else name


def _concat_behind(pairing: Pairing, name: str) -> onnx.NodeProto | None:
    """Return the Concat whose values these are, but for nodes that pass them on."""
    node = pairing.before.producers.get(name)
    while node is not None and node.op_type in PASSING_OP_TYPES:
        node = pairing.before.producers.get(node.input[0])
    return node if node is not None and node.op_type == "Concat" else None
