import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.engine_runs import answers
from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.graphs import walk_graphs
from worker.engine.tidying import tidy

LONG = "an/exporter's/name/with/many/parts/"


def sums():
    """y = x + a + b + c, where a and b are equal, c differs and nothing reads d."""
    chain = [("x", "a", "p"), ("p", "b", "q"), ("q", "c", "y")]
    ones = np.ones(3, np.float32)
    return model_of(
        [helper.make_node("Add", [left, right], [out]) for left, right, out in chain],
        [float_value("x", [3])],
        [float_value("y", [3])],
        {"a": ones, "b": ones, "c": 2 * ones, "d": ones * 3},
    )


def initializers(model):
    return [tensor.name for graph in walk_graphs(model) for tensor in graph.initializer]


def test_merges_equal_tensors_and_drops_unused_ones():
    model = sums()

    tidied = tidy(model, keep_names=True)

    assert len(initializers(model)) == 2
    assert answers(model, {"x": np.zeros(3, np.float32)})[0].tolist() == [4, 4, 4]
    assert tidied.notes == [
        "equal tensors of the result merged: 1",
        "unused tensors of the result dropped: 1",
    ]


def test_says_what_became_of_each_tensor():
    tidied = tidy(sums(), keep_names=True)

    assert tidied.name("a") == tidied.name("b") is not None
    assert (tidied.name("c"), tidied.name("d")) == ("c", None)


def test_tensors_that_a_caller_may_override_stay():
    model = sums()
    model.graph.input.append(float_value("b", [3]))

    tidy(model, keep_names=False)

    fives = np.full(3, 5, np.float32)
    assert answers(model, {"x": np.zeros(3, np.float32), "b": fives})[0].tolist() == [8, 8, 8]


def test_a_body_shares_the_tensor_of_the_graph_around_it():
    model = branching()
    outer = 2 * np.eye(8, dtype=np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(outer, "outer"))
    feeds = {"x": np.eye(8, dtype=np.float32), "flag": np.array(True)}
    expected = answers(model, feeds)[0]

    tidy(model, keep_names=False)

    assert len(initializers(model)) == 1
    assert np.array_equal(answers(model, feeds)[0], expected)


def test_shortens_long_names_but_those_a_user_sees():
    model = model_of(
        [
            helper.make_node("Add", ["x", LONG + "one"], [LONG + "sum"], name="first"),
            helper.make_node("Mul", [LONG + "sum", LONG + "two"], ["y"], name="second"),
        ],
        [float_value("x", [2])],
        [float_value("y", [2])],
        {LONG + "one": np.ones(2, np.float32), LONG + "two": np.array([2, 3], np.float32)},
    )

    tidied = tidy(model, keep_names=False)

    assert [node.name for node in model.graph.node] == ["first", "second"]
    assert max(map(len, initializers(model))) == 1
    assert tidied.name(LONG + "one") == model.graph.node[0].input[1]
    assert "keep_names" in tidied.notes[0]
    assert answers(model, {"x": np.ones(2, np.float32)})[0].tolist() == [4, 6]


def test_short_names_never_clash_with_inputs_and_outputs():
    model = model_of(
        [
            helper.make_node("Add", ["a", LONG + "one"], [LONG + "sum"]),
            helper.make_node("Neg", [LONG + "sum"], ["b"]),
        ],
        [float_value("a", [1])],
        [float_value("b", [1])],
        {LONG + "one": np.ones(1, np.float32)},
    )

    tidy(model, keep_names=False)

    assert answers(model, {"a": np.ones(1, np.float32)})[0].tolist() == [-2]


def test_names_inside_bodies_are_shortened_with_those_they_read():
    model = branching()
    feeds = {"x": np.eye(8, dtype=np.float32), "flag": np.array(False)}
    expected = answers(model, feeds)[0]
    for graph in walk_graphs(model):
        for node in graph.node:
            node.input[:] = [LONG + name if name == "hidden" else name for name in node.input]
            node.output[:] = [LONG + name if name == "hidden" else name for name in node.output]

    tidy(model, keep_names=False)

    assert LONG not in str(model)
    assert np.array_equal(answers(model, feeds)[0], expected)


@pytest.mark.parametrize("keep_names", [True, False])
def test_names_that_take_next_to_nothing_stay(keep_names):
    model = linear(np.eye(64))

    tidied = tidy(model, keep_names=keep_names)

    assert model == linear(np.eye(64))
    assert tidied.name("weight") == "weight"


def test_names_stay_in_a_model_that_stands_for_a_larger_one():
    model = sums()
    for node in model.graph.node:
        node.output[:] = [name if name == "y" else LONG + name for name in node.output]
        node.input[:] = [LONG + name if name in {"p", "q"} else name for name in node.input]

    tidy(model, keep_names=False, left_out_bytes=10**6)

    assert model.graph.node[0].output[0] == LONG + "p"


def test_records_go_and_metadata_stays():
    model = linear(np.eye(4))
    model.doc_string = model.graph.node[0].doc_string = "words"
    model.graph.value_info.append(
        helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 4])
    )
    model.metadata_props.add(key="character", value="abc")

    tidy(model, keep_names=False)

    assert (model.doc_string, model.graph.node[0].doc_string) == ("", "")
    assert not model.graph.value_info
    assert model.metadata_props[0].value == "abc"
