import numpy as np
from onnx import helper

from tests.onnx_models import branching, float_value, linear, model_of, paddle_like
from worker.engine.inspection import describe
from worker.engine.preflight.contents import TrialRun
from worker.engine.preflight.facts import LARGEST_WEIGHTS, gather_facts

NO_RUN = TrialRun(input_shapes={}, macs=None, duration_seconds=None, problem="none")


def facts_of(model):
    return gather_facts(model, describe(model, 0), NO_RUN, [])


def test_lists_weights_the_largest_first():
    facts = facts_of(linear(np.ones((3, 5))))

    assert [(it.name, it.size_bytes, it.read_by) for it in facts.largest_weights] == [
        ("weight", 4 * 3 * 5, ["MatMul"]),
        ("bias", 4 * 5, ["Add"]),
    ]
    assert facts.weight_bytes == {"float32": 80}
    assert facts.weight_count == 2


def test_counts_constants_in_nodes_and_bodies():
    # kernel 2, scale 2, bias 2, mean 2, variance 2 and added 2 floats
    assert facts_of(paddle_like()).weight_bytes == {"float32": 4 * 12}
    assert [it.name for it in facts_of(branching()).largest_weights] == ["outer", "inner"]


def test_lists_no_more_than_the_largest():
    weights = {f"w{i}": np.ones(i + 1, np.float32) for i in range(LARGEST_WEIGHTS + 5)}
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    model = model_of([node], [float_value("x", [1])], [float_value("y", [1])], weights)

    facts = facts_of(model)

    assert len(facts.largest_weights) == LARGEST_WEIGHTS
    assert facts.largest_weights[0].name == f"w{LARGEST_WEIGHTS + 4}"
    assert facts.weight_count == LARGEST_WEIGHTS + 5


def test_names_the_axes_that_are_free():
    facts = facts_of(linear(np.eye(2)))

    assert [it.model_dump() for it in facts.free_axes] == [
        {"input": "x", "axis": 0, "symbol": "batch"}
    ]


def test_counts_subgraphs():
    assert facts_of(branching()).subgraph_count == 2
