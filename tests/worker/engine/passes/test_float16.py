import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.onnx_models import branching, float_value, linear, model_of, recurrent, small_convnet
from tests.worker.engine.passes.test_weight_quantization import apply
from worker.engine.errors import PassError
from worker.engine.model_files import serialize
from worker.engine.passes.float16 import Float16
from worker.engine.runtime import open_session, run

IMAGE = {"image": np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)}


@pytest.mark.parametrize("storage", ["folded", "native"])
def test_halves_the_file_and_keeps_the_answers(tmp_path, storage):
    model = small_convnet()
    before = serialize(model)

    result = apply(Float16(storage=storage), model, tmp_path)

    assert serialize(model) == before
    assert len(serialize(result.model)) < 0.65 * len(before)
    onnx.checker.check_model(result.model, full_check=True)
    expected = run(open_session(model), IMAGE)[0]
    answer = run(open_session(result.model), IMAGE)[0]
    assert answer.dtype == np.float32
    assert np.allclose(answer, expected, atol=2e-2 * np.abs(expected).max())


def test_the_default_on_a_cpu_is_folded(tmp_path):
    result = apply(Float16(minimum_values=1), linear(np.eye(2)), tmp_path)

    ops = [node.op_type for node in result.model.graph.node]
    assert sorted(ops) == ["Add", "Cast", "Cast", "MatMul"]
    assert result.changed_nodes == ["matmul", "add"]


def test_small_weights_stay_in_float(tmp_path):
    result = apply(Float16(), small_convnet(), tmp_path)

    types = {tensor.name: tensor.data_type for tensor in result.model.graph.initializer}
    assert types["shift"] == TensorProto.FLOAT
    assert types["kernel.half"] == TensorProto.FLOAT16


def test_reaches_weights_inside_branches(tmp_path):
    model = branching()

    result = apply(Float16(minimum_values=64), model, tmp_path)

    assert result.changed_nodes == ["outer_matmul", "inner_matmul"]
    feeds = {"x": np.ones((1, 8), np.float32), "flag": np.array(True)}
    expected = run(open_session(model), feeds)[0]
    assert np.allclose(run(open_session(result.model), feeds)[0], expected, rtol=1e-2, atol=1e-2)


def test_native_stores_what_it_cannot_compute_in_half(tmp_path):
    result = apply(Float16(storage="native", minimum_values=64), branching(), tmp_path)

    assert result.changed_nodes == ["outer_matmul", "inner_matmul"]


def test_recurrent_weights_are_stored_as_halves(tmp_path):
    model = recurrent()

    result = apply(Float16(storage="folded"), model, tmp_path)

    feeds = {"x": np.random.default_rng(2).normal(size=(5, 1, 8)).astype(np.float32)}
    expected = run(open_session(model), feeds)[0]
    assert np.allclose(run(open_session(result.model), feeds)[0], expected, atol=1e-2)


def test_weights_beyond_the_range_stay_with_the_reason(tmp_path):
    model = linear(np.full((16, 16), 1e6), np.ones(16))

    result = apply(Float16(storage="folded", minimum_values=16), model, tmp_path)

    assert result.changed_nodes == ["add"]
    assert [(s.node, s.reason) for s in result.skipped] == [
        ("matmul", "its weight weight holds numbers beyond 65504")
    ]


def test_gives_the_same_bytes_again(tmp_path):
    models = [apply(Float16(), small_convnet(), tmp_path).model for _ in range(2)]

    assert serialize(models[0]) == serialize(models[1])


def test_a_model_in_half_is_quantized_already(tmp_path):
    model = apply(Float16(), small_convnet(), tmp_path).model

    with pytest.raises(PassError, match="float16 already") as refused:
        apply(Float16(), model, tmp_path)
    assert refused.value.code == "already_quantized"


def test_a_model_without_weights_has_nothing_to_compress(tmp_path):
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"])], [float_value("x", [1])], [float_value("y", [1])]
    )

    with pytest.raises(PassError, match="no float32 weight") as refused:
        apply(Float16(storage="folded"), model, tmp_path)
    assert refused.value.code == "nothing_to_compress"
