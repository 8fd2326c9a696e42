import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of
from worker.engine.preparation.affine import fold_affine
from worker.engine.runtime import open_session, run

RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


NORM = {
    "scale": numbers(4),
    "shift": numbers(4),
    "mean": numbers(4),
    "variance": np.abs(numbers(4)) + 0.1,
}


def conv_then(node, weights, op="Conv", kernel=(4, 2, 3, 3), **attributes):
    """A Conv or ConvTranspose on (1, 2 x group, 5, 5), then a node from "maps" to "y"."""
    channels = 2 * attributes.get("group", 1) if op == "Conv" else kernel[0]
    return model_of(
        [helper.make_node(op, ["x", "kernel"], ["maps"], **attributes), node],
        inputs=[float_value("x", [1, channels, 5, 5])],
        outputs=[float_value("y", [None] * 4)],
        weights={"kernel": numbers(*kernel), **weights},
    )


def gemm_then(node, weights, **attributes):
    """A Gemm of (2, 3) by (3, 4), or its transpose, then a node from "maps" to "y"."""
    shape = (4, 3) if attributes.get("transB") else (3, 4)
    inputs = ["x", "kernel", "bias"] if "bias" in weights else ["x", "kernel"]
    return model_of(
        [helper.make_node("Gemm", inputs, ["maps"], **attributes), node],
        inputs=[float_value("x", [2, 3])],
        outputs=[float_value("y", [2, 4])],
        weights={"kernel": numbers(*shape), **weights},
    )


def norm():
    return helper.make_node("BatchNormalization", ["maps", *NORM], ["y"], epsilon=1e-3)


def arithmetic(op, *inputs):
    return helper.make_node(op, list(inputs), ["y"])


PER_CHANNEL = {"c": numbers(4, 1, 1)}


@pytest.mark.parametrize(
    "source",
    [
        conv_then(norm(), NORM),
        conv_then(norm(), NORM, group=2, kernel=(4, 2, 3, 3)),
        conv_then(norm(), NORM, op="ConvTranspose", kernel=(3, 4, 3, 3)),
        conv_then(norm(), NORM, op="ConvTranspose", kernel=(6, 2, 3, 3), group=2),
        conv_then(arithmetic("Add", "maps", "c"), PER_CHANNEL),
        conv_then(arithmetic("Add", "c", "maps"), {"c": numbers(1, 4, 1, 1)}),
        conv_then(arithmetic("Mul", "maps", "c"), PER_CHANNEL),
        conv_then(arithmetic("Div", "maps", "c"), PER_CHANNEL),
        conv_then(arithmetic("Sub", "maps", "c"), PER_CHANNEL),
        conv_then(arithmetic("Sub", "c", "maps"), PER_CHANNEL),
        conv_then(arithmetic("Mul", "maps", "c"), {"c": np.array(3, np.float32)}),
        gemm_then(norm(), {**NORM, "bias": numbers(4)}),
        gemm_then(norm(), NORM, transB=1, alpha=0.5),
        gemm_then(arithmetic("Add", "maps", "c"), {"c": numbers(4), "bias": numbers(1, 4)}),
    ],
)
def test_folds_what_acts_on_channels_one_by_one(source):
    graph = ir.from_proto(source)

    count = fold_affine(graph)

    model = ir.to_proto(graph)
    assert count == 1
    assert len(model.graph.node) == 1
    shape = [dim.dim_value for dim in source.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": numbers(*shape)}
    expected = run(open_session(source), feeds)[0]
    assert np.allclose(run(open_session(model), feeds)[0], expected, rtol=1e-4, atol=1e-4)


def shared_weight():
    source = conv_then(norm(), NORM)
    source.graph.node.append(helper.make_node("Relu", ["kernel"], ["other"]))
    source.graph.output.append(float_value("other", [None] * 4))
    return source


def result_read_elsewhere():
    source = conv_then(norm(), NORM)
    source.graph.output.append(float_value("maps", [None] * 4))
    return source


@pytest.mark.parametrize(
    "source",
    [
        shared_weight(),
        result_read_elsewhere(),
        conv_then(arithmetic("Add", "maps", "c"), {"c": numbers(3)}),
        conv_then(arithmetic("Div", "c", "maps"), PER_CHANNEL),
        conv_then(arithmetic("Div", "maps", "c"), {"c": np.zeros((4, 1, 1), np.float32)}),
        conv_then(
            arithmetic("Mul", "maps", "c"),
            {"c": np.full((4, 1, 1), 3e38, np.float32)},
            kernel=(4, 2, 3, 3),
        ),
        gemm_then(arithmetic("Add", "maps", "c"), {"c": numbers(4), "bias": numbers(4)}, beta=0.5),
        gemm_then(arithmetic("Add", "maps", "c"), {"c": numbers(2, 1)}),
    ],
)
def test_leaves_alone_what_it_cannot_fold(source):
    graph = ir.from_proto(source)

    fold_affine(graph)

    assert len(ir.to_proto(graph).graph.node) == len(source.graph.node)
