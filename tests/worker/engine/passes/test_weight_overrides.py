import numpy as np
import pytest
from onnx import helper
from pydantic import ValidationError

from tests.onnx_models import float_value, linear, model_of, small_convnet
from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.errors import PassError
from worker.engine.passes.weight_overrides import WeightOverride, Wish, wishes
from worker.engine.weights.finding import find_weights


def asked(model, *overrides):
    weights = find_weights(model)
    found = wishes(overrides, weights, model)
    return {weight.name: wish for weight, wish in zip(weights, found, strict=True)}


def test_a_pattern_of_nodes_asks_for_the_weights_they_read():
    found = asked(small_convnet(), WeightOverride(nodes=["con*"], bits=8))

    assert found["kernel"] == found["shift"] == Wish(bits=8)
    assert found["dense"] == found["offset"] == Wish()


def test_a_weight_is_asked_for_by_its_own_name():
    found = asked(small_convnet(), WeightOverride(weights=["dense"], bits="float"))

    assert found["dense"] == Wish(bits="float")
    assert found["offset"] == Wish()


def test_the_last_of_several_counts_for_what_it_says():
    found = asked(
        small_convnet(),
        WeightOverride(weights=["*"], bits=4, runtime_form="native"),
        WeightOverride(nodes=["conv"], bits=8),
    )

    assert found["kernel"] == Wish(bits=8, runtime_form="native")
    assert found["dense"] == Wish(bits=4, runtime_form="native")


def test_a_node_in_a_body_asks_for_a_weight_of_the_graph_around_it():
    found = asked(loop_model(), WeightOverride(nodes=["with_outer"], bits=8))

    assert found == {"outer": Wish(bits=8), "inner": Wish()}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"nodes": ["cnov"], "bits": 8}, r"overrides\[0\]\.nodes: no node .*'cnov'.* 'conv'"),
        ({"weights": ["dens"], "bits": 8}, r"overrides\[0\]\.weights: no weight .*'dense'"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_those_near_it(override, message):
    with pytest.raises(PassError, match=message):
        asked(small_convnet(), WeightOverride(**override))


@pytest.mark.parametrize(
    "override",
    [{"bits": 8}, {"nodes": ["conv"]}, {"nodes": ["conv"], "bits": 3}, {"nodes": [""], "bits": 8}],
)
def test_an_override_names_something_and_asks_something(override):
    with pytest.raises(ValidationError):
        WeightOverride(**override)


def test_every_weight_gets_a_wish_without_overrides():
    assert asked(linear([[1.0]])) == {"weight": Wish(), "bias": Wish()}


def test_a_node_may_share_a_weight_with_others():
    model = model_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["middle"], name="first"),
            helper.make_node("MatMul", ["middle", "w"], ["y"], name="second"),
        ],
        [float_value("x", [1, 1])],
        [float_value("y", [1, 1])],
        {"w": np.ones((1, 1), np.float32)},
    )

    assert asked(model, WeightOverride(nodes=["second"], bits=2)) == {"w": Wish(bits=2)}
