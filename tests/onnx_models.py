"""Small ONNX models, built in code so that their numbers can be checked by hand."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def linear(weight, bias=None) -> onnx.ModelProto:
    """y = x @ weight + bias, with x (batch, rows of weight)."""
    weight = np.asarray(weight, np.float32)
    shift = np.zeros(weight.shape[1], np.float32) if bias is None else np.asarray(bias, np.float32)
    return model_of(
        [
            helper.make_node("MatMul", ["x", "weight"], ["product"], name="matmul"),
            helper.make_node("Add", ["product", "bias"], ["y"], name="add"),
        ],
        inputs=[float_value("x", ["batch", weight.shape[0]])],
        outputs=[float_value("y", ["batch", weight.shape[1]])],
        weights={"weight": weight, "bias": shift},
    )


def small_convnet(seed=0) -> onnx.ModelProto:
    """Conv, Relu, Flatten and Gemm on images (batch, 3, 8, 8), with 4 classes."""
    random = np.random.default_rng(seed)
    return model_of(
        [
            helper.make_node("Conv", ["image", "kernel", "shift"], ["maps"], name="conv"),
            helper.make_node("Relu", ["maps"], ["active"], name="relu"),
            helper.make_node("Flatten", ["active"], ["flat"], name="flatten"),
            helper.make_node("Gemm", ["flat", "dense", "offset"], ["scores"], name="gemm"),
        ],
        inputs=[float_value("image", ["batch", 3, 8, 8])],
        outputs=[float_value("scores", ["batch", 4])],
        weights={
            "kernel": random.normal(size=(16, 3, 3, 3)).astype(np.float32),
            "shift": random.normal(size=16).astype(np.float32),
            "dense": random.normal(size=(576, 4)).astype(np.float32),
            "offset": random.normal(size=4).astype(np.float32),
        },
    )


def model_of(nodes, inputs, outputs, weights=None, opset=17) -> onnx.ModelProto:
    """A checked model of these nodes; `weights` are its initializers by name."""
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def float_value(name, shape) -> onnx.ValueInfoProto:
    """A float32 graph input or output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
