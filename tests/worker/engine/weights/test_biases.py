import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.engine_runs import GivenSamples, first_answers
from tests.onnx_models import float_value, model_of
from worker.engine.weights.biases import corrected_biases, give_own_biases
from worker.engine.weights.finding import find_weights
from worker.engine.weights.moments import collect, mean_layers

KERNELS = {"first.weight", "second.weight"}


def convolutions(biases, groups=1):
    """Two Convs over x, padded, with biases of these names or none."""
    random = np.random.default_rng(1)
    names = [["x", "first.weight", biases[0]], ["h", "second.weight", biases[1]]]
    nodes = [
        helper.make_node(
            "Conv", [name for name in inputs if name], [output],
            name=output, pads=[1, 1, 1, 1], group=groups,
        )
        for inputs, output in zip(names, ["h", "y"], strict=True)
    ]  # fmt: skip
    shape = (4, 4 // groups, 3, 3)
    weights = {name: random.normal(size=shape).astype(np.float32) for name in sorted(KERNELS)}
    weights |= {name: random.normal(size=4).astype(np.float32) for name in biases if name}
    return model_of(
        nodes,
        inputs=[float_value("x", [1, 4, 5, 5])],
        outputs=[float_value("y", [1, 4, 5, 5])],
        weights=weights,
    )


def image(seed):
    return np.random.default_rng(seed).normal(1, 1, (1, 4, 5, 5)).astype(np.float32)


@pytest.mark.parametrize("biases", [("a", "b"), ("a", "a"), (None, "b"), (None, None)])
def test_each_node_gets_a_bias_of_its_own(biases):
    model = convolutions(biases)
    before = first_answers(model, [{"x": image(0)}])

    own = give_own_biases(model, KERNELS)

    assert np.array_equal(first_answers(model, [{"x": image(0)}]), before)
    assert own == {node.input[1]: [node.input[2]] for node in model.graph.node}
    assert len({name for names in own.values() for name in names}) == 2
    assert [names for names in own.values() if names[0] in ("a", "b")] == [
        [name] for name in biases if name and biases.count(name) == 1
    ]


@pytest.mark.parametrize("groups", [1, 2])
def test_a_corrected_bias_leaves_no_mean_error_though_the_conv_pads(groups):
    model = convolutions(("a", "b"), groups)
    give_own_biases(model, KERNELS)
    samples = GivenSamples([{"x": image(seed)} for seed in range(3)])
    weights = [weight for weight in find_weights(model) if weight.name == "second.weight"]
    layers = mean_layers(weights, model)
    collect(model, weights, layers, samples, lambda _: None)
    tensor = weights[0].tensor
    stored = {tensor.name: np.round(numpy_helper.to_array(tensor))}

    biases = corrected_biases(model, stored, layers)

    rounded = convolutions(("a", "b"), groups)
    for each in rounded.graph.initializer:
        if each.name in {**stored, **biases}:
            values = {**stored, **biases}[each.name]
            each.CopyFrom(numpy_helper.from_array(values, each.name))
    errors = [
        first_answers(model, [{"x": image(seed)}]) - first_answers(rounded, [{"x": image(seed)}])
        for seed in range(3)
    ]
    assert set(biases) == {"b"}
    assert np.abs(errors).max() > 0.5
    assert np.allclose(np.mean(errors, axis=(0, 1, 3, 4)), 0, atol=1e-4)
