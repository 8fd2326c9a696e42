import hashlib

import numpy as np

from tests.dataset_files import write_npz
from worker.engine.manifest import make_manifest
from worker.engine.passes.weight_quantization import WeightQuantization
from worker.engine.requests import CompressModel


def test_names_everything_that_went_in_and_out(tmp_path):
    artifact = tmp_path / "model.onnx"
    artifact.write_bytes(b"artifact")
    data = write_npz(tmp_path / "d.npz", x=np.zeros(2))
    request = CompressModel(
        model_path=artifact,
        calibration_path=data,
        spec={"passes": [{"method": "dynamic_quantization"}], "seed": 7},
        artifact_folder=tmp_path,
        workdir=tmp_path,
    )

    manifest = make_manifest(request, "abc", artifact, request.spec.passes, "cpu")

    assert manifest.model_sha256 == "abc"
    assert manifest.artifact_sha256 == hashlib.sha256(b"artifact").hexdigest()
    assert manifest.calibration_sha256 == hashlib.sha256(data.read_bytes()).hexdigest()
    assert (manifest.evaluation_sha256, manifest.seed) == (None, 7)
    assert {"python", "onnx", "onnxruntime", "numpy"} <= manifest.versions.keys()
    assert manifest.cpu


def test_holds_the_passes_as_they_were_resolved(tmp_path):
    artifact = tmp_path / "model.onnx"
    artifact.write_bytes(b"artifact")
    request = CompressModel(
        model_path=artifact,
        spec={"passes": [{"method": "weight_quantization"}]},
        artifact_folder=tmp_path,
        workdir=tmp_path,
    )
    resolved = WeightQuantization(runtime_form="folded")

    manifest = make_manifest(request, "abc", artifact, [resolved], "cpu")

    assert manifest.resolved_spec.passes == [resolved]
