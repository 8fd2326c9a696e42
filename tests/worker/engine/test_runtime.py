import subprocess
import sys

import numpy as np
import pytest

from tests.full_disks import full_disk
from tests.onnx_models import linear
from worker.engine.errors import InvalidModelError, PassError, ResourceError, UnsupportedModelError
from worker.engine.model_files import serialize
from worker.engine.runtime import (
    available_providers,
    bounded,
    open_session,
    provider_in_use,
    readable,
    run,
    run_within,
)

X = {"x": np.array([[1, 2]], np.float32)}


@pytest.mark.parametrize("optimize", [True, False])
def test_runs_a_model_given_as_proto_bytes_or_path(tmp_path, optimize):
    model = linear([[1, 0], [0, 2]], [10, 20])
    path = tmp_path / "model.onnx"
    path.write_bytes(serialize(model))

    answers = [
        run(open_session(m, optimize=optimize), X)[0] for m in (model, serialize(model), path)
    ]

    assert np.array_equal(answers, [[[11, 24]]] * 3)


def test_runs_a_model_that_is_too_large_for_one_file(monkeypatch):
    monkeypatch.setattr("worker.engine.model_files.MAX_FILE_BYTES", 2000)
    weight = np.zeros((2, 300), np.float32)
    weight[:, -1] = 5

    answer = run(open_session(linear(weight)), X)[0]

    assert answer[0, -1] == 15


def test_falls_back_to_the_cpu_where_there_is_no_cuda():
    session = open_session(linear(np.eye(2)), execution_provider="cuda")

    assert provider_in_use(session) == available_providers()[-1]


def test_returns_the_named_outputs_only():
    assert len(run(open_session(linear(np.eye(2))), X, ["y"])) == 1


def test_a_refused_model_names_no_source_file_of_onnxruntime():
    model = linear(np.eye(2))
    model.opset_import[0].version = 10_000

    with pytest.raises(UnsupportedModelError) as refused:
        open_session(model)

    assert "10000 is under development" in str(refused.value)
    assert ".h:" not in str(refused.value)
    assert "onnxruntime_src" not in str(refused.value)


def test_wrong_feeds_are_the_given_error():
    with pytest.raises(InvalidModelError, match=r"running the model failed: .*invalid dimensions"):
        run(
            open_session(linear(np.eye(2))),
            {"x": np.ones((1, 3), np.float32)},
            failure=InvalidModelError,
        )


def test_a_name_that_is_not_utf8_is_said_plainly():
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    assert readable(error) == "a name in the model is not valid UTF-8"


def test_messages_name_no_temporary_file_but_keep_node_names():
    text = readable(RuntimeError("node /encoder/layer.0/MatMul in /tmp/job-1/model.onnx is wrong."))

    assert text == "node /encoder/layer.0/MatMul in the file is wrong"


def test_long_messages_are_cut():
    assert len(readable(RuntimeError("x" * 5000))) == 400


def test_a_shortage_of_memory_is_a_resource_error():
    with (
        pytest.raises(ResourceError, match="testing needs more memory") as short,
        bounded("testing", PassError),
    ):
        raise MemoryError

    assert short.value.code == "out_of_memory"


def test_a_full_disk_is_no_fault_of_the_model(tmp_path):
    model = linear(np.ones((64, 64)))

    with full_disk(), pytest.raises(OSError, match="File too large"):
        open_session(model, optimized_path=tmp_path / "optimized.onnx")


def test_a_refused_model_is_one_also_where_a_file_was_to_be_written(tmp_path):
    with pytest.raises(UnsupportedModelError):
        open_session(b"garbage", optimized_path=tmp_path / "optimized.onnx")


def test_without_a_failure_other_errors_pass_through():
    with pytest.raises(ZeroDivisionError), bounded("testing"):
        raise ZeroDivisionError


PROCESS = """
import time
from worker.engine.runtime import bounded, set_operation_limit
set_operation_limit({limit}, lambda name: print(name, flush=True))
for _ in range(2):
    with bounded("the outer one"), bounded("the inner one"):
        time.sleep(0.2)
print("done")
"""


@pytest.mark.parametrize(
    ("limit", "ends", "output"),
    [
        (0.1, -14, ["the outer one"]),
        (0.3, 0, ["the outer one", "the outer one", "done"]),
        (None, 0, ["done"]),
    ],
)
def test_an_operation_over_its_limit_ends_the_process(limit, ends, output):
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS.format(limit=limit)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == ends
    assert ended.stdout.split("\n")[:-1] == output


def test_a_run_within_its_time_gives_all_outputs():
    session = open_session(linear([[1, 0], [0, 2]], [10, 20]))

    (answer,) = run_within(session, X, 60)

    assert answer.tolist() == [[11, 24]]


def test_a_run_that_is_out_of_time_gives_none():
    session = open_session(linear([[1, 0], [0, 2]]))

    assert run_within(session, {"x": np.zeros((2**22, 2), np.float32)}, 0) is None


def test_a_run_within_its_time_may_be_refused():
    session = open_session(linear([[1, 0], [0, 2]]))

    with pytest.raises(PassError, match="running the model failed"):
        run_within(session, {"x": np.zeros((1, 3), np.float32)}, 60)
