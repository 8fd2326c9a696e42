import hashlib

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.dataset_files import write_npz
from tests.onnx_models import float_value, small_convnet
from worker.engine.errors import InvalidDatasetError, PassError, ResourceError, VerificationError
from worker.engine.operations import run
from worker.engine.requests import CompressedModel, CompressModel

WEIGHTS = {"method": "weight_quantization", "minimum_values": 17}
STATIC = {"method": "static_quantization"}


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)
    return write_npz(
        tmp_path / "images.npz",
        image=random.normal(size=(20, 3, 8, 8)).astype(np.float32),
        labels=random.integers(0, 4, 20),
    )


@pytest.fixture
def compress(tmp_path):
    def compress(*passes, model=None, progress=lambda stage, fraction: None, **request):
        source = tmp_path / "upload.onnx"
        onnx.save(model or small_convnet(), source)
        number = len(list(tmp_path.glob("artifact*")))
        options = {"latency": {"runs": 3}} | request.pop("evaluation", {})
        spec = {"passes": list(passes), "evaluation": options, "gates": request.pop("gates", {})}
        (tmp_path / f"work{number}").mkdir()
        return run(
            CompressModel(
                model_path=source,
                spec=spec,
                artifact_folder=tmp_path / f"artifact{number}",
                workdir=tmp_path / f"work{number}",
                **request,
            ),
            progress,
        )

    return compress


def test_returns_a_verified_artifact_with_its_report(compress, images, tmp_path):
    answer = compress(WEIGHTS, calibration_path=images)

    artifact = tmp_path / "artifact0" / answer.artifact_name
    report = answer.report
    assert [path.name for path in artifact.parent.iterdir()] == ["model.onnx"]
    assert report.after.size_bytes == artifact.stat().st_size < report.before.size_bytes
    assert report.manifest.artifact_sha256 == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert report.fidelity[0].sqnr_db > 30
    assert [score.metric for score in report.accuracy] == ["top1"]
    assert {layer.weight for layer in report.layers} == {"kernel", "dense"}
    assert len(report.latency.before.samples_seconds) == 3
    assert CompressedModel.model_validate_json(answer.model_dump_json()) == answer


def test_leaves_nothing_in_the_working_folder(compress, images, tmp_path):
    compress(STATIC, calibration_path=images)

    assert list((tmp_path / "work0").iterdir()) == []


def test_verifies_on_samples_that_did_not_calibrate(compress, images):
    assert compress(STATIC, calibration_path=images).report.fidelity[0].samples == 4


def test_uses_the_evaluation_set_where_there_is_one(compress, images):
    answer = compress(STATIC, calibration_path=images, evaluation_path=images)

    assert answer.report.fidelity[0].samples == 20


def test_the_same_request_gives_the_same_bytes_and_figures(compress, images):
    first, second = (compress(STATIC, calibration_path=images).report for _ in range(2))

    assert first.manifest == second.manifest
    for part in ("before", "after", "fidelity", "accuracy", "layers", "skipped", "preparation"):
        assert getattr(first, part) == getattr(second, part)


def test_without_data_every_figure_is_stamped_synthetic(compress):
    report = compress(STATIC, gates={"min_sqnr_db": 1}).report

    assert {output.data for output in report.fidelity} == {"synthetic"}
    assert report.verdict.gates[0].data == "synthetic"
    assert any("synthetic" in warning for warning in report.verdict.warnings)


def test_progress_names_the_stages_and_never_goes_back(compress, images):
    seen = []

    compress(STATIC, calibration_path=images, progress=lambda *step: seen.append(step))

    assert list(dict.fromkeys(stage for stage, _ in seen if stage != "calibrating")) == [
        "preparing",
        "compressing",
        "verifying",
        "evaluating",
        "measuring",
        "blaming",
    ]
    assert [fraction for _, fraction in seen] == sorted(fraction for _, fraction in seen)
    assert seen[-1][1] == 1.0


def test_a_missed_gate_is_a_verdict(compress, images):
    verdict = compress(
        WEIGHTS, calibration_path=images, gates={"max_size_ratio": 0.01}
    ).report.verdict

    assert not verdict.passed
    assert verdict.summary.startswith("Missed 1 of 1 gates (max_size_ratio)")


def test_a_ruined_result_is_a_failure_and_leaves_no_artifact(compress, images, tmp_path):
    with pytest.raises(VerificationError, match="ruined on 4 held-out samples") as failed:
        compress(STATIC, calibration_path=images, evaluation={"ruin_below_sqnr_db": 300.0})

    assert failed.value.code == "ruined_result"
    assert not list((tmp_path / "artifact0").glob("*"))


def test_a_dataset_that_does_not_fit_says_what_was_expected(compress, tmp_path):
    wrong = write_npz(tmp_path / "wrong.npz", picture=np.zeros((4, 3, 8, 8), np.float32))

    with pytest.raises(InvalidDatasetError, match=r'"image" \(float32 \(batch, 3, 8, 8\)\)'):
        compress(STATIC, calibration_path=wrong)


def test_a_pass_that_finds_nothing_to_do_is_an_error(compress):
    with pytest.raises(PassError) as failed:
        compress({"method": "weight_quantization", "minimum_values": 10**6})

    assert failed.value.code == "nothing_to_compress"


def test_latency_can_be_left_out(compress):
    assert compress(WEIGHTS, evaluation={"latency": None}).report.latency is None


def test_refuses_more_threads_than_could_ever_run(compress, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    with pytest.raises(ResourceError, match="has 2 processors; ask for 16 at most"):
        compress(WEIGHTS, evaluation={"latency": {"threads": 17}})


def test_says_which_nodes_cost_the_answers(compress, images):
    blame = compress(WEIGHTS, calibration_path=images).report.blame

    assert {node.node for node in blame.nodes} == {"conv", "gemm"}
    assert all(node.local_sqnr_db > 30 for node in blame.nodes)
    assert [point.nodes for point in blame.curve] == [0, 1]


def test_leaves_out_the_blame_where_the_spec_says_so(compress, images):
    answer = compress(WEIGHTS, calibration_path=images, evaluation={"blame": None})

    assert answer.report.blame is None


def test_scores_declared_metrics_on_their_own_labels(compress, images, tmp_path):
    random = np.random.default_rng(0)
    data = write_npz(
        tmp_path / "labelled.npz",
        image=random.normal(size=(12, 3, 8, 8)).astype(np.float32),
        is_third=random.integers(0, 2, 12),
    )
    metric = {"metric": "auc", "labels": "is_third", "axis": 1, "index": 2, "name": "third"}

    report = compress(
        WEIGHTS, calibration_path=images, evaluation_path=data, evaluation={"metrics": [metric]}
    ).report

    [score] = report.accuracy
    assert (score.name, score.samples, score.unit) == ("third", 12, "share")
    assert score.before_interval.low < score.before < score.before_interval.high
    assert "third" in report.verdict.summary


def test_a_missed_limit_on_a_figure_keeps_the_artifact(compress, images, tmp_path):
    limits = [
        {"figure": "fidelity[scores].sqnr_db", "at_least": 199},
        {"figure": "peak_memory_bytes", "at_least": 1},
        {"figure": "fidelity[nothing].cosine", "at_least": 0},
    ]

    answer = compress(WEIGHTS, calibration_path=images, gates={"limits": limits})

    gates = answer.report.verdict.gates
    assert [gate.passed for gate in gates] == [False, True, False]
    assert [gate.unit for gate in gates] == ["dB", "bytes", ""]
    assert (tmp_path / "artifact0" / answer.artifact_name).exists()


@pytest.mark.parametrize(
    ("metric", "labels", "reason"),
    [
        ({"metric": "auc", "index": 1}, [1] * 12, "labels of both kinds"),
        ({"metric": "f1", "index": 1}, [0] * 12, "nothing to find"),
        ({"metric": "top1"}, [0] * 11 + [4], "label 4 is none of its 4 classes"),
        ({"metric": "top5"}, [0] * 12, "each of them among the 5 best"),
        ({"metric": "nearest_label"}, [[1, 0]] * 12, "there is no query"),
    ],
)
def test_labels_that_leave_nothing_to_score_are_refused_before_any_work(
    compress, tmp_path, metric, labels, reason
):
    random = np.random.default_rng(0)
    images = random.normal(size=(12, 3, 8, 8)).astype(np.float32)
    data = write_npz(tmp_path / "data.npz", image=images, labels=np.array(labels))
    stages = []

    with pytest.raises(InvalidDatasetError, match=reason):
        compress(
            WEIGHTS,
            evaluation_path=data,
            evaluation={"metrics": [metric]},
            progress=lambda stage, _: stages.append(stage),
        )
    assert set(stages) == {"preparing"}


def test_labels_that_no_score_asks_for_are_a_warning_where_they_are_of_no_use(compress, tmp_path):
    images = np.ones((12, 3, 8, 8), np.float32)
    data = write_npz(tmp_path / "data.npz", image=images, labels=np.array([0] * 11 + [4]))

    report = compress(WEIGHTS, evaluation_path=data).report

    assert report.accuracy == []
    assert any("the labels were not used: top1" in each for each in report.verdict.warnings)


def test_warns_that_a_quantized_model_hardly_shrinks_again(compress, images, tmp_path):
    compress(STATIC | {"fallback": "off"}, calibration_path=images)
    quantized = onnx.load(tmp_path / "artifact0" / "model.onnx")
    left = np.linspace(1, 2, 16, dtype=np.float32)
    quantized.graph.initializer.append(numpy_helper.from_array(left, "left"))
    quantized.graph.node.append(helper.make_node("Neg", ["left"], ["negative"]))
    quantized.graph.output.append(float_value("negative", [16]))

    verdict = compress(
        {"method": "weight_quantization", "minimum_values": 4}, model=quantized
    ).report.verdict

    assert any("quantized already: upload the float model" in each for each in verdict.warnings)
