"""Folding what scales and shifts the channels of a Conv or Gemm into its weight and bias."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from worker.engine.graphs import DEFAULT_DOMAINS
from worker.engine.names import NameGiver
from worker.engine.preparation.constants import (
    Numbers,
    add_constant,
    array_of,
    bypass,
    replace_constant,
    value_names,
    walk,
)

LINEAR = {"Conv", "ConvTranspose", "Gemm"}
AFFINE = {"BatchNormalization", "Mul", "Div", "Add", "Sub"}
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """y = x * scale + shift, one value for each channel."""

    scale: Vector
    shift: Vector


def fold_affine(model: ir.Model) -> int:
    """Fold BatchNormalization and constant Mul, Div, Add, Sub into the Conv or Gemm before them.

    Left alone: where the value between the two is read elsewhere or is a graph output, where the
    weight is not a constant or is shared, where the constant does not lie along the channels, and
    where the product would not be finite.
    """
    names = NameGiver(value_names(model))
    count = 0
    for node in walk(model):
        linear = _linear_before(node)
        if linear is None:
            continue
        channels = _channels(linear)
        affine = None if channels is None else _affine(node, linear, channels)
        if affine is not None and _fold(linear, affine, names):
            bypass(node, linear.outputs[0])
            count += 1
    return count


def _linear_before(node: ir.Node) -> ir.Node | None:
    """Return the Conv or Gemm whose result only this node reads."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in AFFINE or len(node.outputs) != 1:
        return None
    for value in node.inputs[:2]:
        producer = None if value is None else value.producer()
        if (
            value is not None
            and producer is not None
            and producer.op_type in LINEAR
            and producer.domain in DEFAULT_DOMAINS
            and producer.graph is node.graph
            and len(value.uses()) == 1
            and not value.is_graph_output()
            and not any(array_of(v) is not None for v in producer.inputs[:1])
        ):
            return producer
    return None


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def _number(node: ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def _weight(linear: ir.Node) -> Numbers | None:
    """Return the weight of a Conv or Gemm if it is a constant of its own."""
    value = linear.inputs[1]
    if value is None or len(value.uses()) != 1 or value.is_graph_output():
        return None
    array = array_of(value)
    return array if array is not None and np.issubdtype(array.dtype, np.floating) else None


def _channels(linear: ir.Node) -> int | None:
    """Return how many channels a Conv or Gemm gives; None where its weight is not a constant."""
    weight = _weight(linear)
    if weight is None or weight.size == 0:
        return None
    if linear.op_type == "Conv":
        return int(weight.shape[0])
    if linear.op_type == "ConvTranspose":
        return int(weight.shape[1]) * _integer(linear, "group", 1)
    return int(weight.shape[0 if _integer(linear, "transB", 0) else 1])


def _affine(node: ir.Node, linear: ir.Node, channels: int) -> Affine | None:
    """Return what a node does to each channel; None where it does anything else."""
    if node.op_type == "BatchNormalization":
        return _batch_normalization(node, channels)
    is_first = node.inputs[0] is linear.outputs[0]
    weight = array_of(linear.inputs[1])
    constant = array_of(node.inputs[1 if is_first else 0])
    if constant is None or weight is None:
        return None
    rank = 2 if linear.op_type == "Gemm" else weight.ndim
    values = _along_channels(constant, rank, channels)
    return None if values is None else _arithmetic(node.op_type, values, is_first=is_first)


def _arithmetic(op_type: str, values: Vector, *, is_first: bool) -> Affine | None:
    """Return what Mul, Div, Add or Sub with a constant does; x is its first or second input."""
    ones, zeros = np.ones_like(values), np.zeros_like(values)
    if op_type == "Mul":
        return Affine(values, zeros)
    if op_type == "Add":
        return Affine(ones, values)
    if op_type == "Sub":
        return Affine(ones, -values) if is_first else Affine(-ones, values)
    return Affine(1 / values, zeros) if is_first and values.all() else None


def _batch_normalization(node: ir.Node, channels: int) -> Affine | None:
    """Y = (x - mean) / sqrt(variance + epsilon) * scale + bias (the ONNX operator's page)."""
    arrays = [array_of(value) for value in node.inputs[1:5]]
    if _integer(node, "training_mode", 0) or not _integer(node, "spatial", 1):
        return None
    vectors = [a.astype(np.float64) for a in arrays if a is not None and a.shape == (channels,)]
    if len(vectors) != 4:
        return None
    scale, bias, mean, variance = vectors
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = scale / np.sqrt(variance + _number(node, "epsilon", 1e-5))
    return Affine(factor, bias - mean * factor)


def _along_channels(constant: Numbers, rank: int, channels: int) -> Vector | None:
    """Return one value per channel from a constant that broadcasts along axis 1 only."""
    if constant.ndim > rank or not np.issubdtype(constant.dtype, np.floating):
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1):
        return None
    if shape[1] not in {1, channels}:
        return None
    return np.broadcast_to(constant.reshape(-1).astype(np.float64), (channels,))


def _fold(linear: ir.Node, affine: Affine, names: NameGiver) -> bool:
    """Change weight and bias so that the Conv or Gemm does the affine step too."""
    weight, graph = linear.inputs[1], linear.graph
    numbers, bias = _weight(linear), _bias(linear, affine.scale.size)
    if weight is None or graph is None or numbers is None or bias is None:
        return False
    with np.errstate(all="ignore"):
        new_weight = _scaled(linear, numbers, affine.scale).astype(numbers.dtype)
        new_bias = (bias * affine.scale + affine.shift).astype(numbers.dtype)
    if not np.isfinite(new_weight).all() or not np.isfinite(new_bias).all():
        return False
    replace_constant(weight, new_weight)
    old = linear.inputs[2] if len(linear.inputs) > 2 else None
    if old is not None and len(old.uses()) == 1 and not old.is_graph_output():
        replace_constant(old, new_bias)
        return True
    name = names.name(f"{weight.name}_bias")
    linear.resize_inputs(3)
    linear.replace_input_with(2, add_constant(graph, name, new_bias))
    return True


def _scaled(linear: ir.Node, weight: Numbers, scale: Vector) -> Vector:
    """Return the weight with each output channel multiplied by its scale."""
    if linear.op_type == "ConvTranspose":
        # (inputs, outputs / group, ...): the outputs of one group follow those of the one before.
        group = _integer(linear, "group", 1)
        by_group = weight.astype(np.float64).reshape(group, -1, *weight.shape[1:])
        factors = scale.reshape(group, 1, -1, *[1] * (weight.ndim - 2))
        return (by_group * factors).reshape(weight.shape)
    axis = 0 if linear.op_type == "Conv" or _integer(linear, "transB", 0) else 1
    factors = np.expand_dims(scale, [a for a in range(weight.ndim) if a != axis])
    return weight.astype(np.float64) * factors


def _bias(linear: ir.Node, channels: int) -> Vector | None:
    """Return the bias as one value per channel, zeros where there is none."""
    value = linear.inputs[2] if len(linear.inputs) > 2 else None
    if linear.op_type == "Gemm" and _number(linear, "beta", 1.0) != 1.0:
        return None
    if value is None:
        return np.zeros(channels)
    numbers = array_of(value)
    return None if numbers is None else _along_channels(numbers, 2, channels)
