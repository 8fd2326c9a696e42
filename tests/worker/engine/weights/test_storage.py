import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.onnx_models import branching, linear
from tests.worker.engine.weights.test_finding import loop_model
from worker.engine.graphs import subgraphs, walk_graphs
from worker.engine.names import NameGiver, taken_names
from worker.engine.runtime import open_session, run
from worker.engine.weights.finding import find_weights
from worker.engine.weights.grids import Grid, per_channel_grid
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


def test_weights_of_every_depth_are_stored():
    """A body inside a body beside weights of its own, in a graph with weights of its own."""
    model = branching()
    outer = next(g for g in subgraphs(model.graph.node[1]) if g.initializer)
    deeper = onnx.NodeProto()
    deeper.CopyFrom(model.graph.node[1])
    deeper.name, deeper.output[0] = "deeper", "chosen"
    for renamed in subgraphs(deeper):
        renamed.output[0].name = "deepest"
        renamed.node[0].output[0] = "deepest"
        renamed.node[0].input[0] = "between"
        for tensor in renamed.initializer:
            tensor.name = renamed.node[0].input[1] = "innermost"
    outer.node[0].output[0] = "between"
    outer.node.append(deeper)
    onnx.checker.check_model(model, full_check=True)
    feeds = {"x": np.eye(8, dtype=np.float32), "flag": np.array(True)}
    before = run(open_session(model), feeds)[0]

    storage = WeightStorage(model, NameGiver(taken_names(model)))
    for weight in find_weights(model):
        array = numpy_helper.to_array(weight.tensor)
        storage.store(weight, per_channel_grid(array, weight.channel_axes))
    storage.finish()

    names = {tensor.name for graph in walk_graphs(model) for tensor in graph.initializer}
    assert {"outer.quantized", "inner.quantized", "innermost.quantized"} <= names
    assert not {"outer", "inner", "innermost"} & names
    assert run(open_session(model), feeds)[0] == pytest.approx(before, abs=0.1)
