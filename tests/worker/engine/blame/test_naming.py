import numpy as np
import pytest
from onnx import numpy_helper

from tests.onnx_models import linear, small_convnet
from worker.engine.blame.naming import describe_blame, worst_of
from worker.engine.blame.pairing import ModelPair
from worker.engine.report.blame import BlamedNode


def spoiled(weight):
    """The small convnet with one weight emptied."""
    model = small_convnet()
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == weight]
    zeros = np.zeros(tensor.dims, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(zeros, weight))
    return model


def node(name, alone):
    return BlamedNode(node=name, op_type="Conv", nodes=[name], local_sqnr_db=1, alone_sqnr_db=alone)


@pytest.mark.parametrize(("weight", "node"), [("kernel", "conv"), ("dense", "gemm")])
def test_names_the_node_whose_weight_was_lost(tmp_path, images, weight, node):
    words = describe_blame(ModelPair(small_convnet(), spoiled(weight)), images[0], tmp_path)

    assert words.startswith(f'Most is lost at "{node}" (')
    assert words.count("when it alone is compressed") == 1
    assert "100.0% of its weights became zero" in words


def test_names_nothing_where_nothing_is_lost(tmp_path, images):
    pair = ModelPair(small_convnet(), small_convnet())

    assert describe_blame(pair, images[0], tmp_path) == ""


def test_a_result_that_does_not_run_is_no_one_s_fault(tmp_path, images):
    assert describe_blame(ModelPair(small_convnet(), linear(np.eye(2))), images[0], tmp_path) == ""


def test_names_only_what_is_about_as_bad_as_the_worst():
    nodes = [node("a", 1.0), node("b", 9.0), node("c", 15.0), node("d", None)]

    assert [each.node for each in worst_of(nodes)] == ["a", "b"]


def test_names_none_of_those_that_keep_the_answers():
    assert worst_of([node("a", 25.0)]) == []
