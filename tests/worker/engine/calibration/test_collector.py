import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.engine_runs import pass_context
from tests.onnx_models import branching, float_value, linear, model_of
from worker.engine.calibration import collector
from worker.engine.calibration.channels import MapChannels
from worker.engine.calibration.collector import collect, collect_kinds
from worker.engine.calibration.histogram import Histogram, RunningRange
from worker.engine.errors import CalibrationError

DOUBLING = [[2.0, 0.0], [0.0, 2.0]]


def rows(*values):
    return [{"x": np.array([value], np.float32)} for value in values]


def test_ranges_of_inputs_inner_tensors_and_outputs(tmp_path):
    model = linear(DOUBLING, bias=[1.0, 1.0])
    context = pass_context(tmp_path, rows([1.0, 2.0], [-3.0, 0.5]))

    seen = collect(model, ["x", "product", "y"], context, RunningRange)

    assert (seen["x"].lowest, seen["x"].highest) == (-3.0, 2.0)
    assert (seen["product"].lowest, seen["product"].highest) == (-6.0, 4.0)
    assert (seen["y"].lowest, seen["y"].highest) == (-5.0, 5.0)


def test_samples_of_different_shapes_are_taken(tmp_path):
    feeds = [{"x": np.full((count, 2), count, np.float32)} for count in (1, 5, 3)]

    seen = collect(linear(DOUBLING), ["product"], pass_context(tmp_path, feeds), RunningRange)

    assert (seen["product"].lowest, seen["product"].highest) == (2.0, 10.0)


def test_tensors_that_do_not_fit_one_run_are_watched_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(collector, "FETCHED_BYTES", 8)
    model, feeds = linear(DOUBLING, bias=[1.0, 1.0]), rows([1.0, 2.0], [-3.0, 0.5])
    progress = []
    context = pass_context(tmp_path, feeds, lambda _, fraction: progress.append(fraction))

    seen = collect(model, ["product", "y"], context, RunningRange)

    assert seen["product"].highest == 4.0
    assert seen["y"].highest == 5.0
    assert progress == [0.25, 0.5, 0.75, 1.0]


def test_progress_is_told_for_each_sample(tmp_path):
    told = []
    context = pass_context(
        tmp_path, rows([1.0, 2.0], [3.0, 4.0]), lambda *stage: told.append(stage)
    )

    collect(linear(DOUBLING), ["product"], context, RunningRange)

    assert told == [("calibrating", 0.5), ("calibrating", 1.0)]


def test_tensors_of_other_types_are_left_out(tmp_path):
    model = model_of(
        [
            helper.make_node("Shape", ["x"], ["shape"], name="shape"),
            helper.make_node("Cast", ["shape"], ["y"], name="cast", to=TensorProto.FLOAT),
        ],
        [float_value("x", ["batch", 2])],
        [float_value("y", [2])],
    )

    seen = collect(model, ["shape", "y"], pass_context(tmp_path, rows([1.0, 1.0])), RunningRange)

    assert set(seen) == {"y"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_names_tensor_and_sample(tmp_path, bad):
    context = pass_context(tmp_path, rows([1.0, 2.0], [bad, 0.0]))

    with pytest.raises(CalibrationError, match=r"tensor x holds .* for calibration sample 1"):
        collect(linear(DOUBLING), ["x", "product"], context, RunningRange)


def test_a_sample_that_cannot_be_run_is_named(tmp_path):
    context = pass_context(tmp_path, [*rows([1.0, 2.0]), {"x": np.zeros((1, 3), np.float32)}])

    with pytest.raises(CalibrationError, match="calibration sample 1: running the model failed"):
        collect(linear(DOUBLING), ["product"], context, RunningRange)


def test_no_samples_are_refused(tmp_path):
    with pytest.raises(CalibrationError, match="no calibration samples"):
        collect(linear(DOUBLING), ["product"], pass_context(tmp_path), RunningRange)


def test_a_model_with_subgraphs_is_watched_on_top(tmp_path):
    feeds = [{"x": np.ones((1, 8), np.float32), "flag": np.array(True)}]

    seen = collect(branching(), ["hidden", "y"], pass_context(tmp_path, feeds), RunningRange)

    assert seen["y"].highest == pytest.approx(2 * seen["hidden"].highest)


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path):
    weight = np.ones((64, 2048), np.float32)
    sample = {"x": np.random.default_rng(0).normal(size=(16, 64)).astype(np.float32)}
    peaks = []

    for count in (4, 64):
        folder = tmp_path / str(count)
        folder.mkdir()
        tracemalloc.start()
        collect(linear(weight), ["product", "y"], pass_context(folder, [sample] * count), Histogram)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[1] < 1.1 * peaks[0]


def test_several_kinds_are_collected_in_one_run_of_the_samples(tmp_path):
    class Counted:
        def __init__(self, feeds):
            self.source, self.runs = feeds, 0
            self.origin = "dataset"

        def __len__(self):
            return len(self.source)

        def __iter__(self):
            for sample in self.source:
                self.runs += 1
                yield sample

    context = pass_context(tmp_path, rows(*([float(i), -float(i)] for i in range(20))))
    counted = Counted(context.samples)
    wanted = {RunningRange: ["product", "x"], MapChannels: ["x"]}

    seen = collect_kinds(linear(DOUBLING), wanted, replace(context, samples=counted))

    assert list(seen[RunningRange]) == ["product", "x"]
    assert seen[RunningRange]["x"].highest == 19.0
    assert seen[MapChannels]["x"].highs.tolist() == [15.0, 0.0]
    assert counted.runs == 21  # the first tells sizes


def test_samples_that_nothing_wants_to_see_are_not_run(tmp_path):
    context = pass_context(tmp_path, [*rows(*([1.0, 2.0] for _ in range(16))), {"x": "no array"}])

    seen = collect_kinds(linear(DOUBLING), {MapChannels: ["x", "product"]}, context)

    assert seen[MapChannels]["product"].means.tolist() == [2.0, 4.0]
