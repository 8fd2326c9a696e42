import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import float_value, model_of
from worker.engine.preparation.folding import fold_constants
from worker.engine.preparation.structure import remove_unused
from worker.engine.runtime import open_session, run

LARGE = np.arange(2048, dtype=np.float32).reshape(2, 1024)


def model_reading(nodes, weights, rank=2):
    """y = x * w with w made by the nodes from the weights."""
    return model_of(
        [*nodes, helper.make_node("Mul", ["x", "w"], ["y"])],
        inputs=[float_value("x", [1])],
        outputs=[float_value("y", [None] * rank)],
        weights=weights,
    )


def folded(model):
    graph = ir.from_proto(model)
    count = fold_constants(graph)
    remove_unused(graph)
    return ir.to_proto(graph), count


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        ([helper.make_node("Transpose", ["v"], ["w"])], {"v": LARGE}, LARGE.T),
        (
            [
                helper.make_node("Reshape", ["v", "shape"], ["r"]),
                helper.make_node("Unsqueeze", ["r", "axis"], ["w"]),
            ],
            {"v": LARGE, "shape": np.array([-1]), "axis": np.array([1])},
            LARGE.reshape(-1, 1),
        ),
        (
            [helper.make_node("Cast", ["v"], ["w"], to=TensorProto.FLOAT)],
            {"v": np.arange(3, dtype=np.int64)},
            np.arange(3, dtype=np.float32),
        ),
    ],
)
def test_computes_what_depends_on_constants_only(nodes, weights, expected):
    model, count = folded(model_reading(nodes, weights, expected.ndim))

    assert count == len(nodes)
    assert [node.op_type for node in model.graph.node] == ["Mul"]
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), expected)
    answer = run(open_session(model), {"x": np.array([2], np.float32)})[0]
    assert np.array_equal(answer, 2 * expected)


def test_stored_integers_are_not_turned_back_into_floats():
    cast = helper.make_node("Cast", ["v"], ["w"], to=TensorProto.FLOAT)

    _, count = folded(model_reading([cast], {"v": LARGE.astype(np.int8)}))

    assert count == 0


def test_a_weight_that_is_also_read_as_it_is_stays_tied():
    source = model_reading([helper.make_node("Transpose", ["v"], ["w"])], {"v": LARGE})
    source.graph.node.append(helper.make_node("Relu", ["v"], ["z"]))
    source.graph.output.append(float_value("z", [2, 1024]))

    assert folded(source)[1] == 0


def test_results_that_numpy_cannot_hold_are_left_alone():
    cast = helper.make_node("Cast", ["v"], ["b"], to=TensorProto.BFLOAT16)
    back = helper.make_node("Cast", ["b"], ["w"], to=TensorProto.FLOAT)

    assert folded(model_reading([cast, back], {"v": np.ones(3, np.float32)}, rank=1))[1] == 0
