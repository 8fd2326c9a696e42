import hashlib
import json
import shutil
from pathlib import Path

import pytest

from app.reproduction import Ingredients, ReproductionError, read_recipe, reproduce
from app.settings import Settings
from worker.engine.operations import run
from worker.engine.requests import CompressModel

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
FILES = Ingredients(DIGITS / "digits.onnx", DIGITS / "calibration.npz", DIGITS / "evaluation.npz")


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The report of a job whose nodes were chosen by timing."""
    folder = tmp_path_factory.mktemp("job")
    for name in ("work", "artifact"):
        (folder / name).mkdir()
    request = CompressModel(
        model_path=FILES.model,
        calibration_path=FILES.calibration,
        evaluation_path=FILES.evaluation,
        spec={
            "passes": [{"method": "static_quantization"}],
            "evaluation": {"max_samples": 20, "latency": {"runs": 3}},
        },
        artifact_folder=folder / "artifact",
        workdir=folder / "work",
    )
    answer = run(request, lambda *_: None)
    path = folder / "report.json"
    path.write_text(answer.report.model_dump_json())
    return path


def test_makes_the_artifact_again_byte_for_byte(report, tmp_path):
    recipe = read_recipe(report)

    made = reproduce(recipe, FILES, tmp_path / "again.onnx", Settings())

    content = (tmp_path / "again.onnx").read_bytes()
    assert made.is_equal
    assert made.sha256 == recipe.artifact_sha256 == hashlib.sha256(content).hexdigest()
    assert made.differences == []


def test_says_which_versions_differ(report, tmp_path):
    changed = json.loads(report.read_text())
    changed["manifest"]["versions"]["onnxruntime"] = "0.1"
    path = tmp_path / "report.json"
    path.write_text(json.dumps(changed))

    made = reproduce(read_recipe(path), FILES, tmp_path / "again.onnx", Settings())

    assert [note for note in made.differences if note.endswith("and was 0.1")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (Ingredients(FILES.model), "give it by --calibration"),
        (Ingredients(FILES.model, FILES.calibration), "give it by --evaluation"),
        (
            Ingredients(FILES.model, FILES.evaluation, FILES.evaluation),
            "is not the calibration file of the job",
        ),
        (
            Ingredients(FILES.calibration, FILES.calibration, FILES.evaluation),
            "is not the model file of the job",
        ),
    ],
)
def test_takes_only_the_files_that_went_in(report, tmp_path, files, message):
    with pytest.raises(ReproductionError, match=message):
        reproduce(read_recipe(report), files, tmp_path / "again.onnx", Settings())


@pytest.mark.parametrize("content", ["", "{}", '{"manifest": {"seed": 1}}', "not json"])
def test_refuses_what_is_no_report(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)

    with pytest.raises(ReproductionError, match=r"is no report in JSON"):
        read_recipe(path)


def test_a_report_of_synthetic_data_needs_the_model_only(tmp_path):
    for name in ("work", "artifact"):
        (tmp_path / name).mkdir()
    model = Path(shutil.copy(FILES.model, tmp_path / "model.onnx"))
    request = CompressModel(
        model_path=model,
        spec={
            "passes": [{"method": "static_quantization"}],
            "evaluation": {"latency": None},
            "seed": 5,
        },
        artifact_folder=tmp_path / "artifact",
        workdir=tmp_path / "work",
    )
    path = tmp_path / "report.json"
    path.write_text(run(request, lambda *_: None).report.model_dump_json())

    made = reproduce(read_recipe(path), Ingredients(model), tmp_path / "again.onnx", Settings())

    assert made.is_equal
