import numpy as np
import onnx
import pytest

from tests.onnx_models import linear
from worker.engine.errors import PassError
from worker.engine.performance import profiling
from worker.engine.performance.profiling import (
    FEWEST_RUNS,
    MOST_RUNS,
    Kernel,
    profile_in_turn,
    profiled_runs,
    read_kernels,
)


def event(name, op_type, start, duration):
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": start,
        "dur": duration,
        "args": {"op_name": op_type},
    }


def end(start):
    return {"cat": "Session", "name": "model_run", "ts": start, "dur": 1, "args": {}}


def test_runs_are_told_apart_and_the_first_is_left_out():
    events = [
        *(event("conv", "Conv", 0, 900), end(0)),
        *(event("conv", "Conv", 1000, 10), end(1000)),
        *(event("conv", "Conv", 2000, 20), end(2000)),
        *(event("conv", "Conv", 3000, 60), end(3000)),
    ]

    # the median of 10, 20 and 60 microseconds
    assert read_kernels(events) == [Kernel("conv", "Conv", 20e-6)]


def test_a_body_s_kernels_are_not_counted_in_their_loop_again():
    events = [
        event("add", "Add", 10, 5),
        event("add", "Add", 20, 5),
        event("inner", "If", 18, 8),
        event("loop", "Loop", 0, 50),
        event("after", "Relu", 60, 3),
        end(0),
    ]

    # both turns of `add` count; the loop keeps 50 - 5 - 8, the branch in it 8 - 5
    assert read_kernels(events) == [
        Kernel("loop", "Loop", 37e-6),
        Kernel("add", "Add", pytest.approx(10e-6)),
        Kernel("inner", "If", 3e-6),
        Kernel("after", "Relu", 3e-6),
    ]


@pytest.mark.parametrize(
    ("op_counts", "seconds", "runs"),
    [
        ({"Conv": 10}, 1e-4, MOST_RUNS),
        ({"Conv": 10}, 0.3, 5),  # 1.5 s of 0.3 s each
        ({"Conv": 10}, 1.4, FEWEST_RUNS),
        ({"Conv": 10}, 1.6, None),  # three runs would take over 4.5 s
        ({"Conv": 2000}, 1e-4, 10),  # 20 000 events
        ({"Conv": 10_000}, 1e-4, None),
        ({"Conv": 10, "Loop": 1}, 0.01, FEWEST_RUNS),
        ({"Conv": 10, "Loop": 1}, 0.03, None),
    ],
)
def test_profiles_as_often_as_time_and_memory_allow(op_counts, seconds, runs):
    assert profiled_runs(op_counts, seconds) == runs


def test_refuses_a_profile_that_would_not_fit_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(profiling, "MOST_BYTES", 100)
    path = tmp_path / "model.onnx"
    onnx.save(linear(np.eye(2)), path)

    with pytest.raises(PassError, match="the profile of its kernels is over"):
        profile_in_turn(path, path, {"x": np.zeros((1, 2), np.float32)}, 3, tmp_path)


def test_profiles_both_models(tmp_path):
    feeds = {"x": np.zeros((1, 512), np.float32)}
    paths = []
    for width in (4, 512):
        paths.append(tmp_path / f"{width}.onnx")
        onnx.save(linear(np.ones((512, width))), paths[-1])

    before, after = profile_in_turn(*paths, feeds, 9, tmp_path)

    # MatMul and Add become one kernel or stay two, by version
    assert sum(before.count_of(name) for name in ("MatMul", "Gemm", "FusedMatMul")) == 1
    assert before.seconds == sum(kernel.seconds for kernel in before.kernels)
    assert after.seconds > before.seconds
