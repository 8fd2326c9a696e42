"""What must hold for every compression method, on a few small models."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pydantic import TypeAdapter

from tests.engine_runs import first_answers, pass_context, sqnr_db
from tests.onnx_models import linear, recurrent, small_convnet
from worker.engine.errors import PassError
from worker.engine.graphs import walk_tensors
from worker.engine.model_files import serialize, tensor_bytes
from worker.engine.passes import AnyPass
from worker.engine.passes.base import Pass
from worker.engine.preparation.prepare import prepare
from worker.engine.tidying import tidy

METHODS = sorted(each.model_fields["method"].default for each in get_args(get_args(AnyPass)[0]))
MODELS = ["linear", "small_convnet", "recurrent"]
REQUIRED = {"initializer_pruning": {"sparsity": 0.3}}
"""The options without a default."""
LEAST_SQNR_DB = {"initializer_pruning": 3}
"""A third of the weights pruned is a large change; every other method keeps 20 dB."""


def parse(method) -> Pass:
    return TypeAdapter(AnyPass).validate_python({"method": method, **REQUIRED.get(method, {})})


def built(name):
    random = np.random.default_rng(3)
    if name == "linear":
        return linear(random.normal(size=(64, 32)), bias=random.normal(size=32))
    return {"small_convnet": small_convnet, "recurrent": recurrent}[name]()


def feeds_for(name, count=8):
    random = np.random.default_rng(4)
    key, shape = {
        "linear": ("x", (2, 64)),
        "small_convnet": ("image", (1, 3, 8, 8)),
        "recurrent": ("x", (12, 1, 8)),
    }[name]
    return [{key: random.normal(size=shape).astype(np.float32)} for _ in range(count)]


def compressed(method, name, workdir):
    options, feeds = parse(method), feeds_for(name)
    prepared = prepare(built(name), options.required_opset(), feeds[0]).model
    return options.apply(prepared, pass_context(workdir, feeds)).model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_result_checks_loads_and_answers_nearly_the_same(tmp_path, method, name):
    model = compressed(method, name, tmp_path)

    onnx.checker.check_model(model, full_check=method != "dynamic_quantization")
    drift = sqnr_db(
        first_answers(built(name), feeds_for(name)), first_answers(model, feeds_for(name))
    )
    assert drift > LEAST_SQNR_DB.get(method, 20)


@pytest.mark.parametrize("method", METHODS)
def test_the_input_is_not_changed(tmp_path, method):
    options, feeds = parse(method), feeds_for("small_convnet")
    prepared = prepare(small_convnet(), options.required_opset(), feeds[0]).model
    before = serialize(prepared)

    options.apply(prepared, pass_context(tmp_path, feeds))

    assert serialize(prepared) == before


@pytest.mark.parametrize("method", METHODS)
def test_options_survive_json(method):
    options = parse(method)

    assert TypeAdapter(AnyPass).validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize("method", METHODS)
def test_unknown_options_are_refused(method):
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        TypeAdapter(AnyPass).validate_python({"method": method, "unknown": 1})


@pytest.mark.parametrize("method", METHODS)
def test_another_process_gives_the_same_bytes(tmp_path, method):
    (tmp_path / "here").mkdir()
    here = serialize(compressed(method, "small_convnet", tmp_path / "here"))

    (tmp_path / "there").mkdir()
    program = (
        "import sys; from pathlib import Path; from worker.engine.model_files import serialize;"
        "from tests.worker.engine.test_every_pass import compressed;"
        f"model = compressed({method!r}, 'small_convnet', Path('there'));"
        "sys.stdout.buffer.write(serialize(model))"
    )
    root = Path(__file__).parents[3]
    environment = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "77"}
    there = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    ).stdout

    assert there == here


@pytest.mark.parametrize("method", METHODS)
def test_a_model_without_weights_is_an_error_that_says_so(tmp_path, method):
    model = linear([[1.0]])
    del model.graph.initializer[:]
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("weight", [1, 1]), ("bias", [1]))
    )
    feeds = [{name: np.ones((1, 1), np.float32) for name in ("x", "weight")}]
    feeds[0]["bias"] = np.ones(1, np.float32)

    with pytest.raises(PassError) as caught:
        parse(method).apply(model, pass_context(tmp_path, feeds))

    assert caught.value.code == "nothing_to_compress"


@pytest.mark.parametrize("method", METHODS)
def test_every_float_stays_finite(tmp_path, method):
    model = compressed(method, "small_convnet", tmp_path)

    tensors = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert all(np.isfinite(tensor).all() for tensor in tensors if tensor.dtype.kind == "f")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_the_file_is_hardly_larger_than_what_it_holds(tmp_path, method, name):
    model = compressed(method, name, tmp_path)

    tidy(model, keep_names=False)

    tensors = list(walk_tensors(model))
    values = sum(map(tensor_bytes, tensors))
    # what describes tensors: dimensions, a type and the names that nodes call them by
    heads = sum(len(tensor.name) + 4 * len(tensor.dims) + 16 for tensor in tensors)
    nodes = sum(node.ByteSize() for node in model.graph.node)
    interface = sum(value.ByteSize() for value in [*model.graph.input, *model.graph.output])
    assert len(serialize(model)) <= 1.03 * (values + heads + nodes + interface)
    assert len({(tensor.data_type, *tensor.dims, tensor.raw_data) for tensor in tensors}) == len(
        tensors
    )
    read = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read
