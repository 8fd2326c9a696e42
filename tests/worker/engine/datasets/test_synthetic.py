import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import float_value, linear, model_of
from worker.engine.datasets.synthetic import resolve_shapes, synthesize
from worker.engine.errors import CalibrationError, ResourceError
from worker.engine.inspection import describe
from worker.engine.requests import TensorInfo
from worker.engine.runtime import open_session, run


def samples_for(model, seed=0):
    return synthesize(open_session(model), model, describe(model, 0).inputs, seed)


def embedding(rows):
    """Rows of a table by token ids (batch, length)."""
    return model_of(
        [helper.make_node("Gather", ["table", "ids"], ["y"], name="gather")],
        inputs=[helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        outputs=[float_value("y", ["batch", "length", 2])],
        weights={"table": np.zeros((rows, 2), np.float32)},
    )


def test_gives_the_same_samples_for_the_same_seed():
    model = linear(np.eye(3))

    first, second, other = samples_for(model), samples_for(model), samples_for(model, seed=1)

    assert np.array_equal([s.feeds["x"] for s in first], [s.feeds["x"] for s in second])
    assert not np.array_equal([s.feeds["x"] for s in first], [s.feeds["x"] for s in other])
    assert first.origin == "synthetic"


def test_draws_ids_from_the_whole_table_that_they_look_up():
    samples = samples_for(embedding(rows=50))

    ids = np.concatenate([sample.feeds["ids"].ravel() for sample in samples])

    assert (ids.min(), ids.max()) == (0, 49)


def test_tries_sizes_until_the_model_runs():
    model = model_of(
        [
            helper.make_node("Reshape", ["x", "shape"], ["tall"], name="reshape"),
            helper.make_node("MatMul", ["tall", "weight"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["batch", "width"])],
        outputs=[float_value("y", ["rows", 1])],
        weights={"shape": np.array([-1, 112]), "weight": np.ones((112, 1), np.float32)},
    )

    [sample, *_] = samples_for(model)

    assert sample.feeds["x"].shape == (1, 224)
    assert run(open_session(model), sample.feeds)[0].shape == (2, 1)


def test_asks_for_data_where_nothing_runs():
    model = model_of(
        [
            helper.make_node("Reshape", ["x", "shape"], ["tall"], name="reshape"),
            helper.make_node("MatMul", ["tall", "weight"], ["y"], name="matmul"),
        ],
        inputs=[float_value("x", ["batch", "width"])],
        outputs=[float_value("y", ["rows", 1])],
        weights={"shape": np.array([-1, 99991]), "weight": np.ones((99991, 1), np.float32)},
    )

    with pytest.raises(CalibrationError, match="provide a calibration dataset"):
        samples_for(model)


def test_a_symbol_has_one_size_in_every_input():
    inputs = [
        TensorInfo(name="ids", dtype="int64", shape=["batch", "length"]),
        TensorInfo(name="mask", dtype="int64", shape=["batch", "length"]),
        TensorInfo(name="state", dtype="float32", shape=[2, None, 128]),
        TensorInfo(name="rate", dtype="int64", shape=[]),
    ]

    shapes = resolve_shapes(inputs, 32)

    assert shapes == {"ids": (1, 32), "mask": (1, 32), "state": (2, 1, 128), "rate": ()}


def test_states_start_at_zero_and_masks_are_full():
    model = model_of(
        [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT, name="c"),
            helper.make_node("Mul", ["mask", "state"], ["y"], name="mul"),
        ],
        inputs=[
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", 4]),
            float_value("state", ["batch", 4]),
        ],
        outputs=[float_value("y", ["batch", 4])],
    )

    [sample, *_] = samples_for(model)

    assert sample.feeds["attention_mask"].tolist() == [[1, 1, 1, 1]]
    assert sample.feeds["state"].tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(("columns", "length"), [("N", 4096), (100, 100)])
def test_lengths_are_those_of_the_sequences(columns, length):
    """What comes after the first 2000 samples is empty for all but the longest sizes tried."""
    model = model_of(
        [
            helper.make_node("Shape", ["waveforms"], ["whole"], name="shape", start=1),
            helper.make_node("Sub", ["waveforms_lens", "whole"], ["missing"], name="sub"),
            helper.make_node("Slice", ["waveforms", "start", "end", "axis"], ["y"], name="slice"),
        ],
        inputs=[
            float_value("waveforms", ["batch_size", columns]),
            helper.make_tensor_value_info("waveforms_lens", TensorProto.INT64, ["batch_size"]),
        ],
        outputs=[
            helper.make_tensor_value_info("missing", TensorProto.INT64, ["batch_size"]),
            float_value("y", ["batch_size", "rest"]),
        ],
        weights={
            "start": np.array([2000 if columns == "N" else 10]),
            "end": np.array([2**31]),
            "axis": np.array([1]),
        },
    )

    [sample, *_] = samples_for(model)

    assert sample.feeds["waveforms"].shape == (1, length)
    assert sample.feeds["waveforms_lens"].tolist() == [length]


def test_sizes_that_are_answered_with_more_than_zeros_are_preferred():
    """What is multiplied with how many hundreds fit the width is zero for the small ones."""
    model = model_of(
        [
            helper.make_node("Shape", ["x"], ["length"], name="shape", start=2),
            helper.make_node("Div", ["length", "block"], ["blocks"], name="div"),
            helper.make_node("Cast", ["blocks"], ["factor"], to=TensorProto.FLOAT, name="cast"),
            helper.make_node("Mul", ["x", "factor"], ["y"], name="mul"),
        ],
        inputs=[float_value("x", ["batch", 1, "width"])],
        outputs=[float_value("y", ["batch", 1, "width"])],
        weights={"block": np.array([100])},
    )

    [sample, *_] = samples_for(model)

    assert sample.feeds["x"].shape == (1, 1, 224)


def test_a_size_that_memory_does_not_hold_is_not_held_against_smaller_ones(monkeypatch):
    """The output is zero at every size, and the largest sizes do not fit."""
    model = model_of(
        [helper.make_node("Mul", ["x", "zero"], ["y"], name="mul")],
        inputs=[float_value("x", ["batch", "width"])],
        outputs=[float_value("y", ["batch", "width"])],
        weights={"zero": np.float32(0)},
    )

    def run_small(session, feeds, **options):
        if feeds["x"].size > 1024:
            raise ResourceError("no room", code="out_of_memory")
        return run(session, feeds, **options)

    monkeypatch.setattr("worker.engine.datasets.synthetic.run", run_small)

    [sample, *_] = samples_for(model)

    assert sample.feeds["x"].shape == (1, 32)


def test_images_are_of_a_usual_size():
    model = model_of(
        [helper.make_node("Relu", ["image"], ["y"], name="relu")],
        inputs=[float_value("image", ["batch", 3, "height", "width"])],
        outputs=[float_value("y", ["batch", 3, "height", "width"])],
    )

    [sample, *_] = samples_for(model)

    assert sample.feeds["image"].shape == (1, 3, 224, 224)
