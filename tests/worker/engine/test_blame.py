import numpy as np
import pytest
from onnx import numpy_helper

from tests.onnx_models import linear, small_convnet
from worker.engine.blame import ModelPair, describe_blame, value_fidelity, worst_losses

FEEDS = {"image": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}


def spoiled(weight):
    """The small convnet with one weight emptied."""
    model = small_convnet()
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == weight]
    zeros = np.zeros(tensor.dims, np.float32)
    tensor.CopyFrom(numpy_helper.from_array(zeros, weight))
    return model


@pytest.mark.parametrize(("weight", "node"), [("kernel", "conv"), ("dense", "gemm")])
def test_names_the_node_whose_weight_was_lost(tmp_path, weight, node):
    words = describe_blame(ModelPair(small_convnet(), spoiled(weight)), FEEDS, tmp_path)

    assert words.startswith(f'Most is lost at "{node}"')
    assert words.count("from 60 to") == 1


def test_names_nothing_where_nothing_is_lost(tmp_path):
    assert describe_blame(ModelPair(small_convnet(), small_convnet()), FEEDS, tmp_path) == ""


def test_a_result_without_common_values_is_no_one_s_fault(tmp_path):
    assert describe_blame(ModelPair(small_convnet(), linear(np.eye(2))), FEEDS, tmp_path) == ""


def test_measures_every_common_value(tmp_path):
    fidelity = value_fidelity(ModelPair(small_convnet(), spoiled("dense")), FEEDS, tmp_path)

    assert [fidelity[name] for name in ("maps", "active", "flat")] == [60.0] * 3
    assert fidelity["scores"] < 3


def test_a_value_of_unknown_fidelity_has_that_of_its_input():
    # "active" and "flat" are not known: gemm is judged by what conv gave
    losses = worst_losses(small_convnet(), {"maps": 10.0, "scores": 2.0})

    assert [(loss.node, loss.before_db, loss.after_db) for loss in losses] == [
        ("conv", 60.0, 10.0),
        ("gemm", 10.0, 2.0),
    ]


def test_what_is_lost_already_is_not_lost_again():
    losses = worst_losses(small_convnet(), {"maps": -5.0, "scores": -60.0})

    assert [loss.node for loss in losses] == ["conv"]
