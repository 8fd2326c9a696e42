from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.onnx_models import float_value, model_of
from worker.engine.performance.optimized import read_optimized

SCALE = {"scale": np.float32(0.5), "zero": np.uint8(0)}


def test_finds_what_computes_in_float_between_integers(tmp_path):
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "scale", "zero"], ["xf"]),
        helper.make_node("Erf", ["xf"], ["ef"]),
        helper.make_node("QuantizeLinear", ["ef", "scale", "zero"], ["e8"]),
        helper.make_node("DequantizeLinear", ["e8", "scale", "zero"], ["ff"]),
        helper.make_node("Neg", ["ff"], ["y"]),
    ]
    onnx.save(
        model_of(nodes, [float_value("x", [2])], [float_value("y", [2])], SCALE),
        tmp_path / "model.onnx",
    )

    graph = read_optimized(tmp_path / "model.onnx")

    # Neg reads integers but feeds none
    assert (graph.converting_nodes, graph.float_between) == (4, Counter({"Erf": 1}))
    assert graph.decoded_weights == 0


def test_finds_weights_that_are_decoded_at_every_run(tmp_path):
    nodes = [
        helper.make_node("Cast", ["weight"], ["wf"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wf", "scale"], ["w"], name="scaling"),
        helper.make_node("Mul", ["x", "w"], ["y"], name="product"),
    ]
    weights = {"weight": np.ones(2, np.int8), "scale": np.float32(0.5)}
    onnx.save(
        model_of(nodes, [float_value("x", [2])], [float_value("y", [2])], weights),
        tmp_path / "model.onnx",
    )

    graph = read_optimized(tmp_path / "model.onnx")

    assert graph.decoded_weights == 1
    assert graph.decoding_nodes == {"cast", "scaling"}
