"""ONNX models that load like any other and hang, explode or crash when they run."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.hostile_models import unchecked
from tests.onnx_models import float_value


def strange_convolution(**attributes) -> bytes:
    weight = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
    values = [float_value("x", [1, 1, 8, 8])], [float_value("y", None)]
    return unchecked([node], *values, [weight])


def impossible_axis() -> bytes:
    """DequantizeLinear along axis 77; it reads its input as int8 and scales every value."""
    tensors = [
        numpy_helper.from_array(np.ones(4, np.float32), "scale"),
        numpy_helper.from_array(np.zeros(4, np.int8), "zero"),
        numpy_helper.from_array(np.ones((4, 4), np.int8), "w"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["weight"], axis=77),
        helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    return unchecked(nodes, [float_value("x", [1, 4])], [float_value("y", None)], tensors)


def endless_loop() -> bytes:
    """A Loop of 2^62 iterations, behind a MatMul worth compressing."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["cond"], ["cond_out"]),
            helper.make_node("Add", ["state", "state"], ["state_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
            float_value("state", ["batch", 64]),
        ],
        [
            helper.make_tensor_value_info("cond_out", TensorProto.BOOL, []),
            float_value("state_out", ["batch", 64]),
        ],
    )
    return _behind_a_product(
        [helper.make_node("Loop", ["trips", "yes", "product"], ["y"], body=body)],
        {"trips": np.array(2**62, np.int64), "yes": np.array(True)},
    )


def giant_constant(elements) -> bytes:
    """A ConstantOfShape of so many floats, summed, behind a MatMul worth compressing."""
    return _behind_a_product(
        [
            helper.make_node("Shape", ["product"], ["dims"]),
            helper.make_node("Mul", ["dims", "zeros"], ["none"]),
            helper.make_node("Add", ["none", "sizes"], ["giant_dims"]),
            helper.make_node("ConstantOfShape", ["giant_dims"], ["giant"]),
            helper.make_node("ReduceMax", ["giant"], ["largest"], keepdims=0),
            helper.make_node("Add", ["product", "largest"], ["y"]),
        ],
        {"zeros": np.zeros(2, np.int64), "sizes": np.array([elements // 1024, 1024], np.int64)},
    )


def overflowing_division() -> bytes:
    """The smallest int64 divided by -1, behind a MatMul worth compressing."""
    return _behind_a_product(
        [
            helper.make_node("Shape", ["product"], ["dims"]),
            helper.make_node("Mul", ["dims", "zeros"], ["none"]),
            helper.make_node("Add", ["none", "smallest"], ["dividend"]),
            helper.make_node("Div", ["dividend", "minus_one"], ["quotient"]),
            helper.make_node("Cast", ["quotient"], ["shift"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["shift"], ["largest"], keepdims=0),
            helper.make_node("Add", ["product", "largest"], ["y"]),
        ],
        {
            "zeros": np.zeros(2, np.int64),
            "smallest": np.full(2, -(2**63), np.int64),
            "minus_one": np.array(-1, np.int64),
        },
    )


def recurrent_of_any_batch(kind="LSTM") -> bytes:
    """An LSTM or GRU whose batch is free, so that it may be 0."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    weights = {
        "kernel": np.ones((1, gates * 64, 8), np.float32),
        "recurrence": np.ones((1, gates * 64, 64), np.float32),
    }
    node = helper.make_node(kind, ["x", "kernel", "recurrence"], ["y"], hidden_size=64)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    values = [float_value("x", [3, "batch", 8])], [float_value("y", [3, 1, "batch", 64])]
    return unchecked([node], *values, tensors)


def emptied_recurrent(kind="LSTM") -> bytes:
    """An LSTM or GRU whose batch is cut down to 0 before it, whatever comes."""
    gates = {"LSTM": 4, "GRU": 3}[kind]
    weights = {
        "kernel": np.ones((1, gates * 64, 8), np.float32),
        "recurrence": np.ones((1, gates * 64, 64), np.float32),
        "zero": np.zeros(1, np.int64),
        "batch_axis": np.ones(1, np.int64),
    }
    nodes = [
        helper.make_node("Slice", ["x", "zero", "zero", "batch_axis"], ["none"]),
        helper.make_node(kind, ["none", "kernel", "recurrence"], ["y"], hidden_size=64),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    values = [float_value("x", [3, "batch", 8])], [float_value("y", None)]
    return unchecked(nodes, *values, tensors)


def _behind_a_product(nodes, constants) -> bytes:
    """A MatMul of `x` (batch, 64) into `product`, then these nodes, which make `y`."""
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    arrays = {"weight": weight} | constants
    return unchecked(
        [helper.make_node("MatMul", ["x", "weight"], ["product"]), *nodes],
        [float_value("x", ["batch", 64])],
        [float_value("y", None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
