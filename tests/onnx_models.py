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


def recurrent(seed=0) -> onnx.ModelProto:
    """An LSTM over (time, 1, 8) with 16 hidden values, then a projection of the last one."""
    random = np.random.default_rng(seed)
    return model_of(
        [
            helper.make_node(
                "LSTM", ["x", "kernel", "recurrent"], ["", "hidden"], name="lstm", hidden_size=16
            ),
            helper.make_node("Squeeze", ["hidden", "first_axis"], ["last"], name="squeeze"),
            helper.make_node("MatMul", ["last", "projection"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["time", 1, 8])],
        outputs=[float_value("y", [1, 4])],
        weights={
            "kernel": random.normal(0, 0.3, (1, 64, 8)).astype(np.float32),
            "recurrent": random.normal(0, 0.3, (1, 64, 16)).astype(np.float32),
            "first_axis": np.array([0], np.int64),
            "projection": random.normal(size=(16, 4)).astype(np.float32),
        },
    )


def branching(seed=0) -> onnx.ModelProto:
    """A MatMul whose result an If doubles by a MatMul of its own, or passes on."""
    random = np.random.default_rng(seed)
    value = float_value("chosen", ["batch", 8])
    then_branch = helper.make_graph(
        [helper.make_node("MatMul", ["hidden", "inner"], ["chosen"], name="inner_matmul")],
        "then",
        [],
        [value],
        [numpy_helper.from_array(2 * np.eye(8, dtype=np.float32), "inner")],
    )
    else_branch = helper.make_graph(
        [helper.make_node("Identity", ["hidden"], ["chosen"], name="pass_on")], "else", [], [value]
    )
    return model_of(
        [
            helper.make_node("MatMul", ["x", "outer"], ["hidden"], name="outer_matmul"),
            helper.make_node(
                "If",
                ["flag"],
                ["y"],
                name="choice",
                then_branch=then_branch,
                else_branch=else_branch,
            ),
        ],
        inputs=[
            float_value("x", ["batch", 8]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        outputs=[float_value("y", ["batch", 8])],
        weights={"outer": random.normal(size=(8, 8)).astype(np.float32)},
    )


def paddle_like() -> onnx.ModelProto:
    """Conv, BatchNormalization and a bias Add on (batch, 1, 2, 2), all weights in Constant nodes.

    A Conv of 1x1 kernels 2 and 3, then (c - mean) / sqrt(variance) * scale + bias with exactly
    representable numbers, then 0 and 2 added: y = [2 x, 6 x + 3] in the two channels.
    """
    constants = {
        "kernel": np.array([2, 3], np.float32).reshape(2, 1, 1, 1),
        "scale": np.array([4, 4], np.float32),
        "bias": np.array([1, 5], np.float32),
        "mean": np.array([1, 2], np.float32),
        "variance": np.array([16, 4], np.float32),
        "added": np.array([0, 2], np.float32).reshape(1, 2, 1, 1),
    }
    return model_of(
        [
            *(
                helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
                for name, array in constants.items()
            ),
            helper.make_node("Conv", ["x", "kernel"], ["maps"], name="conv"),
            helper.make_node(
                "BatchNormalization",
                ["maps", "scale", "bias", "mean", "variance"],
                ["normal"],
                name="norm",
                epsilon=0.0,
            ),
            helper.make_node("Add", ["normal", "added"], ["sum"], name="add"),
            helper.make_node("Identity", ["sum"], ["y"], name="identity"),
        ],
        inputs=[float_value("x", ["batch", 1, 2, 2])],
        outputs=[float_value("y", ["batch", 2, 2, 2])],
    )


def doubling_functions(depth) -> onnx.ModelProto:
    """y = 2 ** depth * x, by functions that each call the one before twice (x + x at the end)."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function(
            "own", "f0", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], opset
        )
    ]
    for level in range(1, depth):
        calls = [
            helper.make_node(f"f{level - 1}", ["a"], ["h"], domain="own"),
            helper.make_node(f"f{level - 1}", ["a"], ["i"], domain="own"),
            helper.make_node("Add", ["h", "i"], ["b"]),
        ]
        functions.append(helper.make_function("own", f"f{level}", ["a"], ["b"], calls, opset))
    graph = helper.make_graph(
        [helper.make_node(f"f{depth - 1}", ["x"], ["y"], domain="own")],
        "graph",
        [float_value("x", [2])],
        [float_value("y", [2])],
    )
    return helper.make_model(graph, opset_imports=opset, functions=functions, ir_version=10)


def stepping_lstm(*, add_order=1, most="length", through="number", seed=0) -> onnx.ModelProto:
    """An LSTM of 3 hidden values over (batch, steps, 2) as tf2onnx writes it: a Loop.

    Its gates lie in Keras' order, and the weights are part of the Loop's state, never changed.
    `most` is the Loop's bound, `through` the body's number that rows are gathered by.
    """
    random = np.random.default_rng(seed)
    sizes = {"kernel": (2, 12), "recurrent": (3, 12), "bias": (12,)}
    sums = [("product", "carried"), ("carried", "product")][:: 1 if add_order else -1][0]
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["rows", through], ["row"]),
            helper.make_node("MatMul", ["row", "kernel_in"], ["product"]),
            helper.make_node("MatMul", ["hidden_in", "recurrent_in"], ["carried"]),
            helper.make_node("Add", sums, ["unbiased"]),
            helper.make_node("Add", ["unbiased", "bias_in"], ["gates"]),
            helper.make_node("Split", ["gates"], ["i", "f", "c", "o"], axis=-1),
            *[helper.make_node("Sigmoid", [name], [f"open_{name}"]) for name in "ifo"],
            helper.make_node("Tanh", ["c"], ["candidate"]),
            helper.make_node("Mul", ["open_f", "cell_in"], ["kept"]),
            helper.make_node("Mul", ["open_i", "candidate"], ["added"]),
            helper.make_node("Add", ["kept", "added"], ["cell_out"]),
            helper.make_node("Tanh", ["cell_out"], ["squashed"]),
            helper.make_node("Mul", ["open_o", "squashed"], ["hidden_row"]),
            helper.make_node("Identity", ["hidden_row"], ["hidden_out"]),
            helper.make_node("Add", ["number", "one"], ["number_out"]),
            helper.make_node("Less", ["number_out", most], ["goes_on"]),
        ],
        "step",
        [
            helper.make_tensor_value_info("iteration", TensorProto.INT64, []),
            helper.make_tensor_value_info("was_true", TensorProto.BOOL, []),
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            float_value("hidden_in", ["batch", 3]),
            float_value("cell_in", ["batch", 3]),
            *[float_value(f"{name}_in", shape) for name, shape in sizes.items()],
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("number_out", TensorProto.INT64, []),
            float_value("hidden_out", ["batch", 3]),
            float_value("cell_out", ["batch", 3]),
            *[float_value(f"{name}_in", shape) for name, shape in sizes.items()],
            float_value("hidden_row", ["batch", 3]),
        ],
    )
    return model_of(
        [
            helper.make_node("Transpose", ["x"], ["rows"], perm=[1, 0, 2]),
            helper.make_node("Shape", ["rows"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["length"]),
            helper.make_node("Less", ["zero", most], ["has_rows"]),
            helper.make_node(
                "Loop",
                [most, "has_rows", "zero", "hidden", "cell", *sizes],
                ["count", "last", "last_cell", *[f"{name}_behind" for name in sizes], "y"],
                name="loop",
                body=body,
            ),
        ],
        inputs=[
            float_value("x", ["batch", "steps", 2]),
            *[float_value(name, ["batch", 3]) for name in ("hidden", "cell")],
        ],
        outputs=[float_value("y", ["steps", "batch", 3]), float_value("last_cell", ["batch", 3])],
        weights={
            **{name: random.normal(size=size).astype(np.float32) for name, size in sizes.items()},
            "zero": np.int64(0),
            "one": np.int64(1),
            "three": np.int64(3),
        },
    )
