import numpy as np
import pytest
from onnx import helper

from tests.engine_runs import first_answers, sqnr_db
from tests.onnx_models import branching, float_value, model_of, small_convnet
from worker.engine.blame.pairing import ModelPair, Pairing
from worker.engine.blame.switches import segment_board
from worker.engine.errors import PassError
from worker.engine.passes.initializer_pruning import InitializerPruning
from worker.engine.passes.static_quantization import StaticQuantization
from worker.engine.passes.weight_quantization import WeightQuantization


@pytest.mark.parametrize(
    "step", [WeightQuantization(minimum_values=17, bits=4), StaticQuantization(fallback="off")]
)
def test_all_switched_on_is_the_result_and_none_the_original(compressed, images, step):
    pair = compressed(step)
    board = segment_board(Pairing(pair), images)

    expected = sqnr_db(first_answers(pair.original, images), first_answers(pair.result, images))
    assert board.fidelity_db({"conv", "gemm"}) == pytest.approx(expected, abs=0.1)
    assert board.fidelity_db(()) == 200.0


def test_one_switched_on_is_the_model_with_one_weight_changed(compressed, images):
    halved = InitializerPruning(sparsity=0.5, scope="per_layer")
    only_gemm = halved.model_copy(update={"nodes_to_exclude": ("conv",)})
    pair, alone = compressed(halved), compressed(only_gemm)
    board = segment_board(Pairing(pair), images)

    expected = sqnr_db(first_answers(pair.original, images), first_answers(alone.result, images))
    assert board.fidelity_db({"gemm"}) == pytest.approx(expected, abs=0.01)


def test_bodies_are_switched_whole(compressed):
    feeds = [{"x": np.ones((1, 8), np.float32), "flag": np.array(flag)} for flag in (True, False)]
    pair = compressed(WeightQuantization(minimum_values=17, bits=4), branching(), feeds)

    board = segment_board(Pairing(pair), feeds)

    assert set(board.switches) <= {"outer_matmul", "choice"}
    expected = sqnr_db(first_answers(pair.original, feeds), first_answers(pair.result, feeds))
    assert board.fidelity_db(set(board.switches)) == pytest.approx(expected, abs=0.1)


def test_refuses_answers_that_are_no_floats():
    def ending_in_argmax(scale):
        return model_of(
            [helper.make_node("Mul", ["x", "w"], ["y"], name="mul"),
             helper.make_node("ArgMax", ["y"], ["class"], name="argmax")],
            inputs=[float_value("x", [1, 3])],
            outputs=[helper.make_tensor_value_info("class", 7, [1, 3])],
            weights={"w": np.array([1, 2, scale], np.float32)},
        )  # fmt: skip

    pair = ModelPair(ending_in_argmax(3), ending_in_argmax(-3))
    board = segment_board(Pairing(pair), [{"x": np.ones((1, 3), np.float32)}])

    with pytest.raises(PassError, match="no output is floating point"):
        board.fidelity_db({"mul"})


def test_refuses_models_with_functions():
    model = small_convnet()
    model.functions.add(name="f", domain="own")

    with pytest.raises(PassError, match="functions"):
        segment_board(Pairing(ModelPair(model, small_convnet())), [])


def test_what_was_measured_once_is_not_run_again(compressed, images, monkeypatch):
    board = segment_board(Pairing(compressed(InitializerPruning(sparsity=0.5))), images)
    first = board.fidelity_db(["conv", "gemm"])
    few = board.fidelity_db({"gemm"}, 2)
    monkeypatch.setattr(board, "session", None)

    assert board.fidelity_db({"gemm", "conv"}, 99) == first
    assert board.fidelity_db({"gemm"}, 2) == few
