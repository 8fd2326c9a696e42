import time

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.dataset_files import write_npz
from tests.engine_runs import first_answers, pass_context
from tests.onnx_models import float_value, model_of
from worker.engine.passes.weight_overrides import WeightOverride
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.preparation.prepare import prepare
from worker.engine.search.budget import Budget
from worker.engine.search.sensitivity import SAMPLES, Sensitivity


def two_products():
    """x (batch, 32) by weights that 4 bits hold exactly, then by random ones."""
    random = np.random.default_rng(0)
    steps = random.integers(-6, 7, (32, 32)).astype(np.float32)
    steps[0], steps[1] = 7, -7
    return model_of(
        [
            helper.make_node("MatMul", ["x", "exact"], ["hidden"], name="first"),
            helper.make_node("MatMul", ["hidden", "rough"], ["y"], name="second"),
        ],
        inputs=[float_value("x", ["batch", 32])],
        outputs=[float_value("y", ["batch", 16])],
        weights={
            "exact": steps / 4,
            "rough": random.normal(size=(32, 16)).astype(np.float32),
        },
    )


def choosing_product():
    """An If that multiplies x by weights of one body or the other, by the sign of its sum."""
    random = np.random.default_rng(3)

    def body(name):
        weight = random.normal(size=(32, 16)).astype(np.float32)
        return helper.make_graph(
            [helper.make_node("MatMul", ["x", name], ["chosen"], name=f"{name}_product")],
            name,
            [],
            [float_value("chosen", ["batch", 16])],
            [numpy_helper.from_array(weight, name)],
        )

    bodies = {"then_branch": body("doubled"), "else_branch": body("halved")}
    return model_of(
        [
            helper.make_node("ReduceSum", ["x"], ["sum"], name="sum", keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["flag"], name="greater"),
            helper.make_node("If", ["flag"], ["y"], name="choice", **bodies),
        ],
        inputs=[float_value("x", ["batch", 32])],
        outputs=[float_value("y", ["batch", 16])],
        weights={"zero": np.float32(0)},
    )


@pytest.fixture
def feeds():
    random = np.random.default_rng(1)
    return [{"x": random.normal(size=(1, 32)).astype(np.float32)} for _ in range(20)]


@pytest.fixture
def sensitivity(study, tmp_path, feeds):
    data = write_npz(tmp_path / "x.npz", x=np.concatenate([each["x"] for each in feeds]))
    opened = study(two_products(), data)
    return Sensitivity(opened.original, tmp_path / "between", opened.progress())


def budget(seconds=60):
    return Budget(seconds, time.perf_counter())


def error_of_one(name, bits, samples, folder):
    """Σ(a - b)² / Σa² of the model with one weight stored at some bits, by the pass itself."""
    others = tuple({"exact", "rough"} - {name})
    step = WeightQuantization(
        bits=bits,
        overrides=(
            WeightOverride(weights=(name,), bits=bits),
            WeightOverride(weights=others, bits="float"),
        ),
        runtime_form="folded",
    )
    model = prepare(two_products(), step.required_opset()).model
    stored = step.apply(model, pass_context(folder, samples)).model
    before, after = (first_answers(model, samples) for model in (two_products(), stored))
    return np.square(before - after).sum() / np.square(before).sum()


def test_measures_what_each_weight_by_itself_does_to_the_answers(sensitivity, feeds, tmp_path):
    costs = {cost.name: cost for cost in sensitivity.measure(budget())}

    calibrating = [sample.feeds for sample in sensitivity._original.samples.calibration]
    assert set(costs) == {"exact", "rough"}
    assert costs["exact"].errors[4] == pytest.approx(0, abs=1e-9)
    assert 0 < costs["rough"].errors[4] < costs["rough"].errors[2]
    expected = error_of_one("exact", 2, calibrating[:SAMPLES], tmp_path)
    assert costs["exact"].errors[2] == pytest.approx(expected, rel=0.5)


def test_counts_the_bytes_of_a_weight_with_its_scales(sensitivity):
    costs = {cost.name: cost for cost in sensitivity.measure(budget())}

    exact = costs["exact"].stored_bytes
    assert exact[8] == 32 * 32
    # values in blocks of 32, and a scale for each of 32 blocks in at most 4 bytes
    assert 32 * 32 / 2 < exact[4] <= 32 * 32 / 2 + 32 * 4
    assert 32 * 32 / 4 < exact[2] <= 32 * 32 / 4 + 32 * 4


def test_the_error_at_eight_bits_follows_from_that_at_four(sensitivity):
    rough = next(cost for cost in sensitivity.measure(budget()) if cost.name == "rough")

    assert rough.errors[8] == pytest.approx(rough.errors[4] / 64)


def test_without_time_no_weight_goes_below_eight_bits(sensitivity):
    assert sensitivity.measure(budget(0.0)) == []


def test_the_progress_ends_it_once_the_time_is_up(sensitivity, monkeypatch):
    def stop():
        raise TimeoutError

    monkeypatch.setattr(sensitivity._progress, "tick", stop)

    with pytest.raises(TimeoutError):
        sensitivity.measure(budget())


def sums_of(feeds, sign):
    """The samples with the sum's sign turned where it is another."""
    rows = np.concatenate([each["x"] for each in feeds])
    return np.where(np.sign(rows.sum(axis=1, keepdims=True)) == sign, rows, -rows)


def test_weights_in_bodies_are_measured_on_the_samples_that_reach_them(study, tmp_path, feeds):
    rows = np.concatenate([sums_of(feeds, 1)[:6], sums_of(feeds, -1)[6:]])
    data = write_npz(tmp_path / "x.npz", x=rows)
    opened = study(choosing_product(), data)

    found = Sensitivity(opened.original, tmp_path / "between", opened.progress()).measure(budget())

    assert {cost.name for cost in found} == {"doubled", "halved"}
    assert all(cost.errors[2] > cost.errors[4] > 0 for cost in found)


def test_a_weight_that_no_sample_reaches_keeps_its_bits(study, tmp_path, feeds):
    opened = study(choosing_product(), write_npz(tmp_path / "x.npz", x=sums_of(feeds, 1)))

    found = Sensitivity(opened.original, tmp_path / "between", opened.progress()).measure(budget())

    assert [cost.name for cost in found] == ["doubled"]
