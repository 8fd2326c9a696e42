import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import float_value, linear, model_of, small_convnet
from worker.engine.macs import count_macs


def test_counts_a_convolution_and_a_dense_layer():
    feeds = {"image": np.zeros((1, 3, 8, 8), np.float32)}

    # conv: 16 maps of 6 x 6, each from 3 x 3 x 3; gemm: 576 x 4
    assert count_macs(small_convnet(), feeds) == 16 * 36 * 27 + 576 * 4


def test_counts_every_sample_of_a_batch():
    assert count_macs(linear(np.ones((5, 7))), {"x": np.zeros((3, 5), np.float32)}) == 3 * 5 * 7


@pytest.mark.parametrize(("op_type", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_counts_each_step_of_a_recurrent_layer(op_type, gates):
    model = model_of(
        [helper.make_node(op_type, ["x", "w", "r"], ["y"], hidden_size=2, name="cell")],
        inputs=[float_value("x", ["length", "batch", 3])],
        outputs=[float_value("y", ["length", 1, "batch", 2])],
        weights={
            "w": np.zeros((1, gates * 2, 3), np.float32),
            "r": np.zeros((1, gates * 2, 2), np.float32),
        },
    )

    macs = count_macs(model, {"x": np.zeros((5, 1, 3), np.float32)})

    assert macs == 5 * gates * 2 * (3 + 2)


def test_does_not_guess_how_often_a_body_runs():
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["then_y"])],
        "branch",
        [],
        [float_value("then_y", ["n", 2])],
    )
    other = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["else_y"])],
        "other",
        [],
        [float_value("else_y", ["n", 2])],
    )
    model = model_of(
        [helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=other)],
        inputs=[
            float_value("x", ["n", 2]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        outputs=[float_value("y", ["n", 2])],
        weights={"w": np.eye(2, dtype=np.float32)},
    )

    feeds = {"x": np.zeros((1, 2), np.float32), "flag": np.array(True)}

    assert count_macs(model, feeds) is None
