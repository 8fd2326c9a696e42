import numpy as np
import onnx_ir as ir
from onnx import helper, numpy_helper

from tests.onnx_models import branching, float_value, model_of
from worker.engine.preparation.duplicates import merge_duplicates
from worker.engine.runtime import open_session, run

SQUARE = np.random.default_rng(0).normal(size=(16, 16)).astype(np.float32)


def two_matmuls(**weights):
    return model_of(
        [
            helper.make_node("MatMul", ["x", "a"], ["h"]),
            helper.make_node("MatMul", ["h", "b"], ["y"]),
        ],
        inputs=[float_value("x", [1, 16])],
        outputs=[float_value("y", [1, 16])],
        weights=weights,
    )


def merged(model):
    graph = ir.from_proto(model)
    count = merge_duplicates(graph)
    return ir.to_proto(graph), count


def test_equal_weights_are_kept_once():
    source = two_matmuls(a=SQUARE, b=SQUARE.copy())

    model, count = merged(source)

    assert count == 1
    assert [tensor.name for tensor in model.graph.initializer] == ["a"]
    feeds = {"x": np.ones((1, 16), np.float32)}
    assert np.array_equal(run(open_session(model), feeds)[0], run(open_session(source), feeds)[0])


def test_weights_that_differ_stay():
    assert merged(two_matmuls(a=SQUARE, b=SQUARE + 1))[1] == 0


def test_equal_biases_stay_apart():
    source = two_matmuls(a=SQUARE, b=SQUARE + 1)
    for name in ("first", "second"):
        source.graph.initializer.append(numpy_helper.from_array(np.zeros(1000, np.float32), name))

    assert merged(source)[1] == 0


def test_a_branch_shares_the_weight_of_the_graph_around_it():
    source = branching()
    branch = next(a.g for a in source.graph.node[1].attribute if a.name == "then_branch")
    for graph, name in ((source.graph, "outer"), (branch, "inner")):
        del graph.initializer[:]
        graph.initializer.append(numpy_helper.from_array(SQUARE, name))

    model, count = merged(source)

    assert count == 1
    inner = next(a.g for a in model.graph.node[1].attribute if a.name == "then_branch")
    assert list(inner.node[0].input) == ["hidden", "outer"]
