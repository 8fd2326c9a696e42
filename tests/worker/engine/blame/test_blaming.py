"""The faults that the benchmark plants in trained models, here in a small one."""

import numpy as np
import onnx
import pytest
from onnx import helper

from benchmarks.planting import FAULTS
from tests.dataset_files import write_npz
from tests.onnx_models import float_value, model_of
from worker.engine.operations import run
from worker.engine.requests import CompressModel
from worker.engine.spec import Spec

STATIC = {
    "method": "static_quantization", "per_channel": False, "smooth": False, "fallback": "off",
}  # fmt: skip
DYNAMIC = {
    "method": "dynamic_quantization", "per_channel": False, "smooth": False, "fallback": "off",
    "op_types_to_quantize": ["Conv", "MatMul"],
}  # fmt: skip


def convnet():
    """Five layers between Relus, with answers that 8 bits keep well."""
    random = np.random.default_rng(1)
    sizes = [3, 8, 16, 16, 16]
    nodes, weights, value = [], {}, "image"
    for index in range(4):
        shape = (sizes[index + 1], sizes[index], 3, 3)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"w{index}"] = random.normal(0, scale, shape).astype(np.float32)
        weights[f"b{index}"] = random.normal(0, 0.1, shape[0]).astype(np.float32)
        nodes += [
            helper.make_node(
                "Conv", [value, f"w{index}", f"b{index}"], [f"c{index}"], name=f"conv_{index}",
                pads=[1, 1, 1, 1],
            ),
            helper.make_node("Relu", [f"c{index}"], [f"r{index}"], name=f"relu_{index}"),
        ]  # fmt: skip
        value = f"r{index}"
    weights["w4"] = random.normal(0, 0.05, (1024, 4)).astype(np.float32)
    nodes += [
        helper.make_node("Flatten", [value], ["flat"], name="flatten"),
        helper.make_node("MatMul", ["flat", "w4"], ["y"], name="last"),
    ]
    return model_of(
        nodes,
        inputs=[float_value("image", ["batch", 3, 8, 8])],
        outputs=[float_value("y", ["batch", 4])],
        weights=weights,
    )


def numbers(tensor):
    return onnx.numpy_helper.to_array(tensor)


@pytest.fixture
def job(tmp_path):
    """Runs a job on a model, with the same samples each time."""
    images = np.random.default_rng(2).normal(size=(80, 3, 8, 8)).astype(np.float32)
    samples = write_npz(tmp_path / "images.npz", image=images)

    def job(model, spec):
        number = len(list(tmp_path.glob("work*")))
        workdir = tmp_path / f"work{number}"
        workdir.mkdir()
        source = tmp_path / f"model{number}.onnx"
        onnx.save(model, source)
        evaluation = {"latency": None, "ruin_below_sqnr_db": None}
        spec = {"evaluation": evaluation, **spec}
        return run(
            CompressModel(
                model_path=source,
                calibration_path=samples,
                spec=spec,
                artifact_folder=tmp_path / f"artifact{number}",
                workdir=workdir,
            ),
            lambda _stage, _fraction: None,
        ).report

    return job


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("half a layer x100", STATIC, "scale mismatch between channels"),
        ("half a layer x100", DYNAMIC, "scale mismatch between channels"),
        ("a Concat branch x1000", STATIC, "scale mismatch"),
        ("a dead channel x1000", STATIC, "that channel is dead (always 0)"),
        ("a dead channel x1000", DYNAMIC, "that channel is dead (always 0)"),
    ],
)
def test_finds_a_planted_fault_and_mends_it(job, fault, options, words):
    planted = FAULTS[fault](convnet())
    sound = job(planted.sound, {"passes": [options]})

    broken = job(planted.model, {"passes": [options]})

    blame = broken.blame
    assert broken.fidelity[0].sqnr_db < sound.fidelity[0].sqnr_db - 6
    assert blame.nodes[0].node in planted.culprits
    assert words in blame.nodes[0].explanation
    spec = Spec.model_validate_json(blame.repair.spec.model_dump_json())
    mended = job(planted.model, spec.model_dump(mode="json"))
    assert mended.fidelity[0].sqnr_db > sound.fidelity[0].sqnr_db - 1
    # The figure that was promised is the one that the job gets, on all of the evaluation.
    assert blame.repair.samples == mended.fidelity[0].samples == 16
    assert blame.repair.sqnr_db == pytest.approx(mended.fidelity[0].sqnr_db, abs=0.01)


def test_stores_a_weight_at_more_bits_that_has_too_few(job):
    options = {
        "method": "weight_quantization",
        "overrides": [{"nodes": ["conv_2"], "bits": 2}],
    }

    blame = job(convnet(), {"passes": [options]}).blame

    assert blame.nodes[0].node == "conv_2"
    assert "too few bits for its weights" in blame.nodes[0].explanation
    overrides = blame.repair.spec.passes[0].overrides
    assert [(each.nodes, each.bits) for each in overrides] == [(("conv_2",), 2), (("conv_2",), 16)]
    assert blame.repair.sqnr_db > blame.sqnr_db + 10


def test_a_sound_result_needs_no_repair(job):
    blame = job(convnet(), {"passes": [{"method": "weight_quantization"}]}).blame

    assert blame.repair is None
    assert [point.nodes for point in blame.curve] == [0, 1, 2, 4]
    assert blame.curve[0].sqnr_db == blame.sqnr_db > 30


def test_the_worst_nodes_have_pictures(job):
    nodes = job(convnet(), {"passes": [STATIC]}).blame.nodes

    node = next(each for each in nodes if each.op_type == "Conv")
    kinds = {picture.what for picture in node.pictures}
    assert {"weight", "output"} <= kinds
    assert all(0 < len(picture.counts) <= 64 for picture in node.pictures)
    assert all(picture.range_lowest < picture.range_highest for picture in node.pictures)


def test_looks_at_the_samples_whose_answers_moved(job, tmp_path):
    images = np.zeros((80, 3, 8, 8), np.float32)
    images[60:65] = np.random.default_rng(3).normal(size=(5, 3, 8, 8))
    write_npz(tmp_path / "images.npz", image=images)
    model = convnet()
    for index in range(4):
        bias = next(t for t in model.graph.initializer if t.name == f"b{index}")
        bias.CopyFrom(onnx.numpy_helper.from_array(0 * numbers(bias), bias.name))

    blame = job(model, {"passes": [{"method": "weight_quantization"}]}).blame

    # Zeros give zeros, whatever the weights.
    assert blame.samples == 4
    assert blame.sqnr_db < 100


def test_is_left_out_where_the_model_would_take_the_whole_budget(job):
    evaluation = {"latency": None, "blame": {"budget_seconds": 1e-9}}

    report = job(convnet(), {"passes": [STATIC], "evaluation": evaluation})

    assert report.blame is None
    assert not [w for w in report.verdict.warnings if "nodes" in w]
