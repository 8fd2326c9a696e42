import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, model_of, recurrent, small_convnet
from worker.engine.blame.pairing import ModelPair, Pairing
from worker.engine.passes.dynamic_quantization import DynamicQuantization
from worker.engine.passes.float16 import Float16
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization


def changed(pairing):
    return [(each.name, [node.name for node in each.before]) for each in pairing.changed]


@pytest.mark.parametrize(
    "step",
    [
        WeightQuantization(minimum_values=17),
        InitializerPruning(sparsity=0.5),
        Float16(storage="folded"),
        DynamicQuantization(op_types_to_quantize=("Conv", "Gemm"), fallback="off"),
    ],
)
def test_finds_the_nodes_whose_weights_changed(compressed, step):
    pairing = Pairing(compressed(step))

    assert changed(pairing) == [("conv", ["conv"]), ("gemm", ["gemm"])]
    assert [segment.name for segment in pairing.segments] == ["conv", "relu", "flatten", "gemm"]


def test_a_node_whose_values_the_result_does_not_have_is_one_with_the_next(compressed):
    # the range of the rounded activation does the Relu's work
    pairing = Pairing(compressed(StaticQuantization(fallback="off")))

    assert changed(pairing)[0] == ("conv", ["conv", "relu"])


def test_equal_models_have_no_changed_segments():
    pairing = Pairing(ModelPair(small_convnet(), small_convnet()))

    assert pairing.changed == []


def test_models_with_nothing_in_common_are_one_segment():
    other = model_of(
        [helper.make_node("Conv", ["image", "w"], ["other"], name="other"),
         helper.make_node("Flatten", ["other"], ["scores"], name="end")],
        inputs=[float_value("image", ["batch", 3, 8, 8])],
        outputs=[float_value("scores", ["batch", 36])],
        weights={"w": np.ones((1, 3, 3, 3), np.float32)},
    )  # fmt: skip

    pairing = Pairing(ModelPair(small_convnet(), other))

    assert changed(pairing) == [("gemm", ["conv", "relu", "flatten", "gemm"])]


def test_an_lstm_is_one_segment(compressed):
    feeds = [{"x": np.ones((5, 1, 8), np.float32)}]
    pair = compressed(WeightQuantization(minimum_values=17), recurrent(), feeds)

    assert [name for name, _ in changed(Pairing(pair))] == ["lstm", "matmul"]


def test_values_that_are_parted_join_the_segments_beside_them(compressed):
    pair = compressed(WeightQuantization(minimum_values=17))

    pairing = Pairing(pair, parted={"maps", "active", "flat"})

    assert changed(pairing) == [("gemm", ["conv", "relu", "flatten", "gemm"])]
