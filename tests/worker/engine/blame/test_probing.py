import numpy as np
import pytest
from onnx import numpy_helper

from tests.engine_runs import first_answers, sqnr_db
from tests.onnx_models import linear, small_convnet
from worker.engine.blame.pairing import ModelPair, Pairing
from worker.engine.blame.probing import local_errors
from worker.engine.passes.initializer_pruning import InitializerPruning


def test_the_error_of_the_last_node_is_what_it_makes_of_exact_inputs(compressed, images):
    halved = InitializerPruning(sparsity=0.5, scope="per_layer")
    alone = compressed(halved.model_copy(update={"nodes_to_exclude": ("conv",)}))

    errors = local_errors(Pairing(compressed(halved)), {"maps", "scores"}, images)

    expected = sqnr_db(first_answers(alone.original, images), first_answers(alone.result, images))
    assert errors["gemm"] == pytest.approx(expected, abs=0.01)
    assert errors["conv"] < 20


def test_equal_values_have_no_error():
    before, after = linear([[1.0, 0.0], [0.0, 1.0]]), linear([[1.0, 0.0], [0.0, 2.0]])
    feeds = [{"x": np.array([[3.0, 0.0]], np.float32)}]

    errors = local_errors(Pairing(ModelPair(before, after)), {"product"}, feeds)

    assert errors == {"matmul": None}


def test_an_error_is_the_energy_of_the_difference_over_that_of_the_values():
    before, after = linear([[3.0, 4.0]]), linear([[3.0, 4.5]])
    feeds = [{"x": np.array([[2.0]], np.float32)}]

    errors = local_errors(Pairing(ModelPair(before, after)), {"product"}, feeds)

    # (6² + 8²) / 1² = 100
    assert errors["matmul"] == pytest.approx(20.0)


def test_values_that_are_not_finite_are_lost(images):
    ruined = small_convnet()
    infinite = np.full((576, 4), np.inf, np.float32)
    ruined.graph.initializer[2].CopyFrom(numpy_helper.from_array(infinite, "dense"))

    errors = local_errors(Pairing(ModelPair(small_convnet(), ruined)), {"scores"}, images)

    assert errors["gemm"] == -200.0
