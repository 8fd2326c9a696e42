import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.half_precision import HalfConverter, as_half, why_not_half
from worker.engine.runtime import open_session, run


def converted(model):
    converter = HalfConverter(model)
    converter.convert()
    return converter


@pytest.mark.parametrize(
    ("numbers", "reason"),
    [
        ([0.5, -2], None),
        ([0, 0], None),
        ([], None),
        ([np.inf, -np.inf, 1], None),
        ([1, 65504], None),
        ([1, 65520], "beyond 65504"),
        ([1e-12], "too small"),
        ([1e-30, 0], "too small"),
    ],
)
def test_says_why_numbers_do_not_fit(numbers, reason):
    found = why_not_half(np.array(numbers, np.float32))

    assert (found is None) if reason is None else (reason in found)


def test_rounds_to_the_nearest_half():
    # Between 2048 and 4096 halves lie 2 apart, and ties go to the even one.
    half = as_half(numpy_helper.from_array(np.array([2049, 2051], np.float32), "w"), "half")

    assert half.name == "half"
    assert np.array_equal(numpy_helper.to_array(half), np.array([2048, 2052], np.float16))


def test_computes_in_half_between_float_inputs_and_outputs():
    model = linear([[1, 2], [3, 4]], [0.5, 0.25])

    converter = converted(model)

    assert converter.changed == ["matmul", "add"]
    assert [node.op_type for node in model.graph.node] == ["Cast", "MatMul", "Add", "Cast"]
    assert {t.data_type for t in model.graph.initializer} == {TensorProto.FLOAT16}
    answer = run(open_session(model), {"x": np.array([[1, 1]], np.float32)})[0]
    assert answer.dtype == np.float32
    assert np.array_equal(answer, [[4.5, 6.25]])


def test_nodes_that_leave_the_range_of_half_stay_in_float():
    model = model_of(
        [
            helper.make_node("Mul", ["x", "two"], ["doubled"], name="mul"),
            helper.make_node("Exp", ["doubled"], ["grown"], name="exp"),
            helper.make_node("Mul", ["grown", "small"], ["y"], name="shrink"),
        ],
        inputs=[float_value("x", [1])],
        outputs=[float_value("y", [1])],
        weights={"two": np.array([2], np.float32), "small": np.array([1e-6], np.float32)},
    )

    converter = converted(model)

    assert converter.changed == ["mul"]
    assert [node.name for node, _ in converter.skipped] == ["exp", "shrink"]
    answer = run(open_session(model), {"x": np.array([7], np.float32)})[0]
    assert answer[0] == pytest.approx(np.exp(14.0) * 1e-6, rel=1e-5)


def test_what_a_subgraph_reads_stays_in_float():
    model = branching()

    converter = converted(model)

    assert converter.changed == ["outer_matmul"]
    feeds = {"x": np.ones((1, 8), np.float32), "flag": np.array(True)}
    answer = run(open_session(model), feeds)[0]
    expected = run(open_session(branching()), feeds)[0]
    assert np.allclose(answer, expected, rtol=1e-2)


def test_integer_inputs_and_fixed_float_inputs_are_left_alone():
    model = model_of(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], name="gather"),
            helper.make_node("Resize", ["rows", "", "scales"], ["y"], name="resize"),
        ],
        inputs=[helper.make_tensor_value_info("ids", TensorProto.INT64, [2])],
        outputs=[float_value("y", [4, 2])],
        weights={
            "table": np.array([[1, 2], [3, 4]], np.float32),
            "scales": np.array([2, 1], np.float32),
        },
    )

    converter = converted(model)

    assert converter.changed == ["gather", "resize"]
    kept = {t.name: t.data_type for t in model.graph.initializer}
    assert kept == {"scales": TensorProto.FLOAT, "table.half": TensorProto.FLOAT16}
    answer = run(open_session(model), {"ids": np.array([1, 0])})[0]
    assert np.array_equal(answer, [[3, 4], [3, 4], [1, 2], [1, 2]])
