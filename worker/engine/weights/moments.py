"""Streams the second moments of the inputs that a layer multiplies with its weight.

For MatMul and Gemm an input is a row; for Conv it is the patch under the kernel, for ConvTranspose
the channels of one position. Memory depends on the layers, never on the number of samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnx.helper import get_attribute_value
from typing_extensions import override

from worker.engine import runtime
from worker.engine.errors import CalibrationError
from worker.engine.samples import SampleSource
from worker.engine.weights.finding import Weight
from worker.engine.weights.scales import FloatArray

ROWS_PER_SAMPLE = 512
ROWS_PER_INPUT = 256
"""Of all samples together; more say nothing new of the few inputs of a depthwise Conv."""
DAMPING = 0.01
SMALLEST_POWER = 1e-12
RESOLUTION = 1e-4
"""Share of an input's power below which sums of float32 products do not tell its deviations."""
LARGEST_INPUT = 4096
"""Inputs of a layer above which its moments would cost more memory and time than they gain."""

Moments = npt.NDArray[np.float64]
T = TypeVar("T")
F = TypeVar("F", np.float32, np.float64)


@dataclass
class MeanLayer:
    """A node of the main graph that contracts a constant weight with an activation.

    The weight as a matrix is (groups, channels, inputs); `sums` of the inputs is (groups, inputs).
    """

    node: onnx.NodeProto
    weight_shape: tuple[int, ...]
    sums: Moments
    rows: int = 0
    """How many inputs were seen."""

    @property
    def activation(self) -> str:
        """The name of the activation."""
        return self.node.input[0]

    @property
    def is_contracted_first(self) -> bool:
        """Whether the weight is (inputs, channels...), as MatMul's and ConvTranspose's."""
        transposed = _attribute(self.node, "transB", 0)
        is_first = self.node.op_type in {"MatMul", "ConvTranspose"}
        return is_first or (self.node.op_type == "Gemm" and not transposed)

    def as_matrices(self, weight: npt.NDArray[F]) -> npt.NDArray[F]:
        """Return the weight as (groups, channels, inputs)."""
        groups, inputs = self.sums.shape
        matrix = weight.reshape(inputs, -1).T if self.is_contracted_first else weight
        return np.ascontiguousarray(matrix).reshape(groups, -1, inputs)

    def from_matrices(self, matrices: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return matrices in the weight's own shape again."""
        if self.is_contracted_first:
            return np.ascontiguousarray(matrices[0].T).reshape(self.weight_shape)
        return matrices.reshape(self.weight_shape)

    def add(self, activation: FloatArray, samples: int) -> None:
        """Add some inputs of one sample out of so many."""
        groups, inputs = self.sums.shape
        most = min(-(-ROWS_PER_INPUT * inputs // samples), ROWS_PER_SAMPLE)
        rows = _patches(self.node, self.weight_shape, activation, most)
        self._take(rows.reshape(len(rows), groups, inputs).transpose(1, 0, 2))
        self.rows += len(rows)

    def _take(self, inputs: FloatArray) -> None:
        """Take in inputs, (groups, rows, inputs)."""
        self.sums += inputs.sum(axis=1, dtype=np.float64)


@dataclass(kw_only=True)
class MultipliedLayer(MeanLayer):
    """The same, with the inputs' second moments: (groups, inputs, inputs)."""

    moments: Moments
    is_centred: bool = False
    """Whether the bias makes up for what an error of the weight does to the mean input."""

    @override
    def _take(self, inputs: FloatArray) -> None:
        super()._take(inputs)
        self.moments += inputs.transpose(0, 2, 1) @ inputs

    def seen_moments(self) -> Moments:
        """Return the moments that an error of the weight is seen by, those about the mean if so.

        What is lost where a large mean is taken off is added to the diagonal.
        """
        if not self.is_centred or not self.rows:
            return self.moments
        of_mean = self.sums[:, :, None] * self.sums[:, None, :] / self.rows
        seen = self.moments - of_mean
        powers = np.diagonal(self.moments, axis1=1, axis2=2)
        places = np.arange(seen.shape[1])
        seen[:, places, places] = np.maximum(seen[:, places, places], 0) + RESOLUTION * powers
        return seen

    def damped_moments(self) -> Moments:
        """Return moments that can be inverted, and that trust few rows only so far.

        Their mean power is added to the diagonal: 1 % of it, and more the fewer rows there are for
        each input, as what few rows have in common may be chance. Inputs that are always zero get
        the mean as well.
        """
        damped = self.seen_moments().copy()
        share = DAMPING + damped.shape[1] / max(self.rows, 1)
        for moment in damped:
            diagonal = np.diagonal(moment).copy()
            mean = max(float(diagonal.mean()), SMALLEST_POWER)
            np.fill_diagonal(moment, np.where(diagonal > 0, diagonal, mean) + share * mean)
        return damped


def multiplied_layers(weights: list[Weight], model: onnx.ModelProto) -> dict[str, MultipliedLayer]:
    """Return, by weight name, the layers whose moments can be collected.

    A weight with several readers has several input distributions, and is left out.
    """
    layers = {}
    for name, layer in mean_layers(weights, model).items():
        shape = (*layer.sums.shape, layer.sums.shape[1])
        if shape[1] <= LARGEST_INPUT:
            zeros = np.zeros(shape)
            layers[name] = MultipliedLayer(
                layer.node, layer.weight_shape, layer.sums, moments=zeros
            )
    return layers


def mean_layers(weights: list[Weight], model: onnx.ModelProto) -> dict[str, MeanLayer]:
    """Return, by weight name, the layers whose mean inputs can be collected."""
    layers = {}
    for weight in weights:
        inputs = _multiplied_inputs(weight, model)
        if inputs is not None:
            node, shape = weight.uses[0].node, tuple(weight.tensor.dims)
            groups = _attribute(node, "group", 1) if node.op_type == "Conv" else 1
            layers[weight.name] = MeanLayer(node, shape, np.zeros((groups, inputs)))
    return layers


def collect(
    model: onnx.ModelProto,
    weights: list[Weight],
    layers: Mapping[str, MeanLayer],
    samples: SampleSource,
    report_progress: Callable[[float], None],
) -> None:
    """Run the samples and add every layer's inputs to its sums, and moments.

    The inputs of all `weights` become outputs of what is run, whichever have a layer: which nodes
    onnxruntime joins follows them, so that a layer's moments are the same to the last bit
    whatever the other weights are rounded to.

    Raises:
        CalibrationError: a sample cannot be run.
    """
    inputs = {value.name for value in model.graph.input}
    tapped = {w.uses[0].node.input[0] for w in weights if _multiplied_inputs(w, model) is not None}
    fetched = sorted({layer.activation for layer in layers.values()} - inputs)
    extended = _with_outputs(model, sorted(tapped - inputs))
    session = runtime.open_session(extended, failure=CalibrationError)
    # onnxruntime takes an empty list for all outputs; those of the graph are always there.
    fetched = fetched or [model.graph.output[0].name]
    for index, sample in enumerate(samples):
        outputs = runtime.run(session, sample.feeds, fetched, failure=CalibrationError)
        activations = {**sample.feeds, **dict(zip(fetched, outputs, strict=True))}
        for layer in layers.values():
            layer.add(activations[layer.activation].astype(np.float32, copy=False), len(samples))
        report_progress((index + 1) / len(samples))


def _multiplied_inputs(weight: Weight, model: onnx.ModelProto) -> int | None:
    """Return how many inputs a weight is contracted with; None where moments do not tell."""
    use = weight.only_use(model)
    if use is None or use.input_index != 1:
        return None
    return _input_count(use.node, tuple(weight.tensor.dims))


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """Return a copy whose graph also outputs these values; onnxruntime infers their types."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    existing = {value.name for value in model.graph.output}
    extended.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in names if name not in existing
    )
    return extended


def _input_count(node: onnx.NodeProto, weight_shape: tuple[int, ...]) -> int | None:
    """Return how many values one output of the node sums over; None where it does not multiply."""
    if node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type == "Conv" and len(weight_shape) >= 3:
        return prod(weight_shape[1:])
    if node.op_type == "MatMul" and len(weight_shape) == 2:
        return weight_shape[0]
    if node.op_type == "ConvTranspose" and _attribute(node, "group", 1) == 1:
        return weight_shape[0]
    if node.op_type == "Gemm":
        return weight_shape[1] if _attribute(node, "transB", 0) else weight_shape[0]
    return None


def _patches(
    node: onnx.NodeProto, weight_shape: tuple[int, ...], activation: FloatArray, most: int
) -> FloatArray:
    """Return up to `most` evenly spaced inputs: (rows, groups * inputs)."""
    if node.op_type != "Conv":
        if node.op_type == "ConvTranspose":
            activation = np.moveaxis(activation, 1, -1)
        elif _attribute(node, "transA", 0):
            activation = activation.T
        rows = activation.reshape(-1, activation.shape[-1])
        return rows[_evenly_spaced(len(rows), most)]
    spatial = weight_shape[2:]
    strides = _attribute(node, "strides", [1] * len(spatial))
    dilations = _attribute(node, "dilations", [1] * len(spatial))
    extents = [(size - 1) * step + 1 for size, step in zip(spatial, dilations, strict=True)]
    padded = _pad(node, activation, extents, strides)
    axes = tuple(range(2, padded.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=axes)
    steps = [1, 1, *strides, *dilations]
    windows = windows[tuple(slice(None, None, step) for step in steps)]
    positions = (windows.shape[0], *windows.shape[2 : 2 + len(spatial)])
    chosen = np.unravel_index(_evenly_spaced(prod(positions), most), positions)
    patches = np.moveaxis(windows, 1, -1)[chosen]
    return np.moveaxis(patches, -1, 1).reshape(len(patches), -1)


def _pad(
    node: onnx.NodeProto, activation: FloatArray, extents: list[int], strides: list[int]
) -> FloatArray:
    """Return a Conv's input with its padding, explicit or by `auto_pad`."""
    count = len(extents)
    pads = _attribute(node, "pads", [0] * (2 * count))
    mode = _attribute(node, "auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        totals = [
            max((-(-size // stride) - 1) * stride + extent - size, 0)
            for size, stride, extent in zip(activation.shape[2:], strides, extents, strict=True)
        ]
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pads = [*small, *large] if mode == "SAME_UPPER" else [*large, *small]
    widths = [(0, 0), (0, 0), *zip(pads[:count], pads[count:], strict=True)]
    return np.pad(activation, widths)


def _evenly_spaced(count: int, most: int) -> npt.NDArray[np.int64]:
    chosen = min(count, most)
    return np.arange(chosen) * (count - 1) // max(chosen - 1, 1)


def _attribute(node: onnx.NodeProto, name: str, default: T) -> T:
    for attribute in node.attribute:
        if attribute.name == name:
            value: T = get_attribute_value(attribute)
            return value
    return default
