import numpy as np
import pytest
from onnx import helper

from tests.engine_runs import answers, optimized_op_types
from tests.onnx_models import float_value, model_of
from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.float_islands import keep_islands_float
from worker.engine.quantization.integers import IntegerType
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.static_writer import StaticWriter

OPTIONS = QdqOptions(IntegerType("int8", is_symmetric=True), IntegerType("uint8", False), True)
RANDOM = np.random.default_rng(0)
KERNELS = {name: RANDOM.normal(size=(4, 4, 3, 3)) for name in ("first", "second", "third")}


def chain(passing="Relu", readers=()):
    """Three convolutions of 4 channels; the second's result passes on through another node.

    Each of `readers` makes another output of the second's result.
    """
    return model_of(
        [
            helper.make_node("Conv", ["x", "first"], ["a"], name="one"),
            helper.make_node("Conv", ["a", "second"], ["b"], name="two"),
            helper.make_node(passing, ["b"], ["c"], name="passing"),
            helper.make_node("Conv", ["c", "third"], ["y"], name="three"),
            *(helper.make_node(op_type, ["b"], [op_type], name=op_type) for op_type in readers),
        ],
        [float_value("x", [1, 4, 9, 9])],
        [float_value(name, [None] * 4) for name in ("y", *readers)],
        {name: kernel.astype(np.float32) for name, kernel in KERNELS.items()},
    )


def written(model, nodes, quant_format="qdq"):
    chosen = {node.name for node in model.graph.node}
    writer = StaticWriter(model, chosen, OPTIONS)
    writer.use_ranges({name: TensorRange(-9.0, 9.0) for name in ("x", "a", "b", "c", "y")})
    return writer.write(nodes, quant_format).model


@pytest.mark.parametrize("passing", ["Relu", "Clip", "LeakyRelu"])
@pytest.mark.parametrize("quant_format", ["qdq", "qoperator"])
def test_onnxruntime_computes_a_float_node_between_integers_in_float(
    passing, quant_format, tmp_path
):
    result = written(chain(passing), {"one", "three"}, quant_format)

    op_types = optimized_op_types(result, tmp_path)
    assert op_types.count("QLinearConv") == 2
    assert {"Conv", "FusedConv"} & set(op_types)


def test_the_answers_are_those_of_the_float_weight():
    feeds = {"x": RANDOM.uniform(-1, 1, size=(1, 4, 9, 9)).astype(np.float32)}
    model = chain()
    plain = written(model, {"one", "three"})
    barrier = next(node for node in plain.graph.node if node.op_type == "Sum")
    barrier.op_type = "Identity"

    assert not np.array_equal(
        answers(written(model, {"one", "three"}), feeds)[0], answers(plain, feeds)[0]
    )


@pytest.mark.parametrize("nodes", [{"one", "two", "three"}, {"one"}, {"three"}, {"two"}])
def test_nothing_is_added_where_no_float_node_lies_between_integers(nodes):
    assert "Sum" not in [node.op_type for node in written(chain(), nodes).graph.node]


def test_nothing_is_added_where_others_read_the_float_values():
    model = chain(readers=["Abs"])

    assert "Sum" not in [n.op_type for n in written(model, {"one", "three"}).graph.node]


def test_a_float_model_stays_as_it_is():
    model = chain()

    assert keep_islands_float(model) == []
    assert model == chain()
