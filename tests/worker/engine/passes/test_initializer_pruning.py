import numpy as np
import pytest
from onnx import helper, numpy_helper
from pydantic import ValidationError

from tests.onnx_models import branching, float_value, linear, model_of, recurrent, small_convnet
from tests.worker.engine.passes.test_weight_quantization import apply
from worker.engine.errors import PassError
from worker.engine.model_files import serialize
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.weights.finding import find_weights


def weights_of(model):
    return {w.name: numpy_helper.to_array(w.tensor) for w in find_weights(model)}


def two_layers(first, second):
    return model_of(
        [
            helper.make_node("MatMul", ["x", "first"], ["h"], name="one"),
            helper.make_node("MatMul", ["h", "second"], ["y"], name="two"),
        ],
        inputs=[float_value("x", [1, 2])],
        outputs=[float_value("y", [1, 2])],
        weights={"first": np.array(first, np.float32), "second": np.array(second, np.float32)},
    )


def test_the_smallest_of_each_layer_become_zero(tmp_path):
    model = two_layers([[1, -2], [3, -4]], [[50, 60], [-70, 80]])
    options = InitializerPruning(sparsity=0.5, scope="per_layer", minimum_values=1)

    result = apply(options, model, tmp_path)

    pruned = weights_of(result.model)
    assert np.array_equal(pruned["first"], [[0, 0], [3, -4]])
    assert np.array_equal(pruned["second"], [[0, 0], [-70, 80]])
    assert result.changed_nodes == ["one", "two"]
    assert result.notes[0].startswith("4 of 8 weights (50.0%) are zero")


def test_a_global_sparsity_goes_where_it_hurts_least(tmp_path):
    # LAMP scores, each square over the sum of the squares not smaller: first 1/30, 4/29, 9/25, 1;
    # second 1/10003, 1/10002, 1/10001, 1. The three least are all in the second.
    model = two_layers([[1, 2], [3, 4]], [[1, 1], [1, 100]])
    options = InitializerPruning(sparsity=0.375, minimum_values=1)

    pruned = weights_of(apply(options, model, tmp_path).model)

    assert np.array_equal(pruned["first"], [[1, 2], [3, 4]])
    assert np.array_equal(pruned["second"], [[0, 0], [0, 100]])


def test_layers_of_small_numbers_are_not_emptied(tmp_path):
    model = two_layers([[1e-3, 2e-3], [3e-3, 4e-3]], [[1, 2], [3, 4]])

    pruned = weights_of(
        apply(InitializerPruning(sparsity=0.5, minimum_values=1), model, tmp_path).model
    )

    assert np.count_nonzero(pruned["first"]) == np.count_nonzero(pruned["second"]) == 2


def test_a_threshold_is_a_magnitude(tmp_path):
    model = two_layers([[1, -2], [3, -4]], [[50, 2], [-1, 80]])

    pruned = weights_of(
        apply(InitializerPruning(threshold=2.5, minimum_values=1), model, tmp_path).model
    )

    assert np.array_equal(pruned["first"], [[0, 0], [3, -4]])
    assert np.array_equal(pruned["second"], [[50, 0], [0, 80]])


def test_of_equal_values_the_first_are_pruned(tmp_path):
    model = two_layers(np.ones((2, 2)), np.ones((2, 2)))
    options = InitializerPruning(sparsity=0.25, scope="per_layer", minimum_values=1)

    assert np.array_equal(
        weights_of(apply(options, model, tmp_path).model)["first"], [[0, 1], [1, 1]]
    )


def test_biases_and_excluded_nodes_keep_their_values(tmp_path):
    model = small_convnet()
    options = InitializerPruning(sparsity=0.5, nodes_to_exclude=("ge*",), minimum_values=4)

    result = apply(options, model, tmp_path)

    before, after = weights_of(model), weights_of(result.model)
    assert [name for name in before if not np.array_equal(before[name], after[name])] == ["kernel"]
    assert result.changed_nodes == ["conv"]
    assert ("gemm", "its weight dense is excluded by nodes_to_exclude") in [
        (skip.node, skip.reason) for skip in result.skipped
    ]


@pytest.mark.parametrize("model", [recurrent(), branching()])
def test_reaches_recurrent_weights_and_branches(tmp_path, model):
    options = InitializerPruning(sparsity=0.3, scope="per_layer", minimum_values=64)

    changed = apply(options, model, tmp_path).changed_nodes

    assert changed in (["lstm", "matmul"], ["outer_matmul", "inner_matmul"])


def test_gives_the_same_bytes_again_and_leaves_its_input(tmp_path):
    model = small_convnet()
    before = serialize(model)

    results = [apply(InitializerPruning(sparsity=0.3), model, tmp_path).model for _ in range(2)]

    assert serialize(results[0]) == serialize(results[1])
    assert serialize(model) == before


@pytest.mark.parametrize("options", [{}, {"sparsity": 0.1, "threshold": 0.1}])
def test_wants_exactly_one_of_sparsity_and_threshold(options):
    with pytest.raises(ValidationError, match="exactly one of sparsity and threshold"):
        InitializerPruning(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1e-9, "minimum_values": 1}, "no weight is small enough"),
        ({"sparsity": 0.5}, "no weight of 256 values or more"),
        ({"sparsity": 0.5, "op_types_to_prune": ("Conv",), "minimum_values": 1}, "read by MatMul"),
    ],
)
def test_says_why_there_is_nothing_to_prune(tmp_path, options, message):
    with pytest.raises(PassError, match=message) as refused:
        apply(InitializerPruning(**options), linear([[1, 2], [3, 4]], [1, 1]), tmp_path)

    assert refused.value.code == "nothing_to_compress"
