import numpy as np
import pytest
from onnx import helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.preparation.answers import Answers

X = {"x": np.array([[1, 2]], np.float32)}


@pytest.mark.parametrize(
    ("shift", "kept"), [([0, 0], True), ([1e-5, 0], True), ([1e-2, 0], False), ([np.nan, 0], False)]
)
def test_float_noise_is_allowed_and_no_more(shift, kept):
    answers = Answers(linear(np.eye(2)), X)

    assert answers.are_kept_by(linear(np.eye(2), shift)) is kept


def test_a_model_that_does_not_load_keeps_nothing():
    broken = linear(np.eye(2))
    broken.graph.node[0].op_type = "MatMulTypo"

    assert not Answers(linear(np.eye(2)), X).are_kept_by(broken)
    assert not Answers(linear(np.eye(2)), None).are_kept_by(broken)


def test_without_a_sample_only_loading_is_compared():
    assert Answers(linear(np.eye(2)), None).are_kept_by(linear(5 * np.eye(2)))


def test_a_model_that_fails_on_the_sample_is_compared_by_loading():
    wrong = {"x": np.ones((1, 3), np.float32)}

    assert Answers(linear(np.eye(2)), wrong).are_kept_by(linear(5 * np.eye(2)))


def test_other_shapes_are_other_answers():
    assert not Answers(linear(np.eye(2)), X).are_kept_by(linear(np.ones((2, 3))))


def test_random_answers_cannot_be_compared():
    def noisy(scale):
        return model_of(
            [
                helper.make_node("RandomNormalLike", ["x"], ["noise"], scale=scale),
                helper.make_node("Add", ["x", "noise"], ["y"]),
            ],
            inputs=[float_value("x", [1, 2])],
            outputs=[float_value("y", [1, 2])],
        )

    assert Answers(noisy(1.0), X).are_kept_by(noisy(5.0))


def test_sequences_and_maps_are_compared_within():
    def classified(weights):
        zip_map = helper.make_node(
            "ZipMap", ["y"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
        )
        model = linear(weights)
        model.opset_import.add(domain="ai.onnx.ml", version=3)
        model.graph.node.append(zip_map)
        model.graph.output[0].CopyFrom(
            helper.make_value_info(
                "z",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, None))
                ),
            )
        )
        return model

    answers = Answers(classified(np.eye(2)), X)

    assert answers.are_kept_by(classified(np.eye(2)))
    assert not answers.are_kept_by(classified(2 * np.eye(2)))
