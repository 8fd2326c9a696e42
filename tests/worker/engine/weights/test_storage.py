import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.onnx_models import linear
from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.names import NameGiver, taken_names
from worker.engine.runtime import open_session, run
from worker.engine.weights.finding import find_weights
from worker.engine.weights.grids import Grid
from worker.engine.weights.storage import WeightStorage, pack


def stored(model, grid):
    storage = WeightStorage(model, NameGiver(taken_names(model)))
    storage.store(find_weights(model)[0], grid)
    storage.finish()
    return model


@pytest.mark.parametrize(("bits", "opset"), [(8, 17), (4, 21), (2, 25)])
def test_onnxruntime_reads_back_the_grid(bits, opset):
    random = np.random.default_rng(0)
    values = random.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (3, 5), dtype=np.int8)
    grid = Grid(bits, values, np.full((1, 5), 0.5, np.float16), (3, 5))
    model = linear(np.zeros((3, 5)))
    model.opset_import[0].version = opset
    model.ir_version = 13

    answer = run(open_session(stored(model, grid)), {"x": np.eye(3, dtype=np.float32)})[0]

    assert answer.tolist() == (values * 0.5).tolist()
    onnx.checker.check_model(model, full_check=True)


def test_blocks_are_reshaped_to_the_weight():
    values = np.arange(8, dtype=np.int8).reshape(2, 2, 2)
    grid = Grid(8, values, np.array([[[1.0]], [[2.0]]], np.float16), (4, 2))

    answer = run(
        open_session(stored(linear(np.zeros((4, 2))), grid)), {"x": np.eye(4, dtype=np.float32)}
    )[0]

    assert answer.tolist() == [[0, 1], [2, 3], [8, 10], [12, 14]]


def test_a_weight_of_a_subgraph_stays_in_its_subgraph():
    model = loop_model()
    inner = next(weight for weight in find_weights(model) if weight.name == "inner")
    storage = WeightStorage(model, NameGiver(taken_names(model)))
    storage.store(inner, Grid(8, np.eye(4, dtype=np.int8), np.float16(2).reshape(()), (4, 4)))

    storage.finish()

    answer = run(open_session(model), {"x": np.ones((1, 4), np.float32)})[0]
    assert answer.tolist() == [[8.0] * 4]
    assert "inner.quantized" not in [tensor.name for tensor in model.graph.initializer]


def test_small_integers_are_packed_low_bits_first():
    grid = Grid(4, np.array([1, -1, 7], np.int8), np.ones((), np.float16), (3,))

    tensor = pack("w", grid)

    assert tensor.raw_data == bytes([0xF1, 0x07])
    assert numpy_helper.to_array(tensor).astype(int).tolist() == [1, -1, 7]
