import pytest

from tests.onnx_models import branching, small_convnet
from worker.engine.errors import PassError
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.node_selection import select_nodes

ALL = ["Conv", "Relu", "Flatten", "Gemm", "MatMul"]


def reasons(selection):
    return {skip.node: skip.reason for skip in selection.skipped}


def test_all_nodes_of_the_op_types_are_chosen():
    selection = select_nodes(small_convnet(), DynamicQuantization(), ["Conv", "Gemm"])

    assert selection.chosen == {"conv", "gemm"}
    assert reasons(selection)["relu"] == "op_types_to_quantize does not hold Relu"


def test_a_pattern_chooses_nodes():
    options = DynamicQuantization(nodes_to_quantize=["*lat*", "gemm"])

    selection = select_nodes(small_convnet(), options, ALL)

    assert selection.chosen == {"flatten", "gemm"}
    assert reasons(selection)["conv"] == "nodes_to_quantize does not name it"


def test_an_excluded_node_is_left_alone():
    options = DynamicQuantization(nodes_to_quantize=["*"], nodes_to_exclude=["conv"])

    selection = select_nodes(small_convnet(), options, ALL)

    assert "conv" not in selection.chosen
    assert reasons(selection)["conv"] == "nodes_to_exclude names it"


def test_a_name_with_brackets_is_taken_as_it_is():
    model = small_convnet()
    model.graph.node[0].name = "conv[0]"

    selection = select_nodes(model, DynamicQuantization(nodes_to_quantize=["conv[0]"]), ALL)

    assert selection.chosen == {"conv[0]"}


def test_a_pattern_without_a_match_lists_close_names():
    options = DynamicQuantization(nodes_to_exclude=["cnov"])

    with pytest.raises(PassError, match=r"nodes_to_exclude: .*'cnov'; near it are 'conv'"):
        select_nodes(small_convnet(), options, ALL)


def test_nodes_in_subgraphs_are_skipped_with_the_node_that_holds_them():
    selection = select_nodes(branching(), DynamicQuantization(), ["MatMul"])

    assert selection.chosen == {"outer_matmul"}
    assert "inside choice (If)" in reasons(selection)["inner_matmul"]
    assert "pass_on" in reasons(selection)
