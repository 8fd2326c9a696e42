"""The manifest: what went in, what came out, and on which machine with which versions."""

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worker.engine.passes.base import Pass
from worker.engine.processor import processor
from worker.engine.report.provenance import Manifest
from worker.engine.requests import CompressModel
from worker.engine.runtime import ExecutionProvider

PACKAGES = ("onnxpress", "onnx", "onnxruntime", "numpy")


def make_manifest(
    request: CompressModel,
    model_sha256: str,
    artifact: Path,
    resolved: Sequence[Pass],
    provider: ExecutionProvider,
) -> Manifest:
    """Return what it takes to reproduce an artifact that the resolved passes made.

    Without any, the artifact is the model itself.
    """
    cpu, flags = processor()
    return Manifest(
        model_sha256=model_sha256,
        artifact_sha256=file_sha256(artifact),
        spec_sha256=hashlib.sha256(request.spec.model_dump_json().encode()).hexdigest(),
        resolved_spec=request.spec.with_passes(resolved) if resolved else None,
        calibration_sha256=_optional_sha256(request.calibration_path),
        calibration_transform=request.calibration_transform,
        evaluation_transform=request.evaluation_transform,
        evaluation_sha256=_optional_sha256(request.evaluation_path),
        seed=request.spec.seed,
        versions={"python": platform.python_version()} | _versions(),
        cpu=cpu,
        cpu_flags=flags,
        platform=platform.platform(),
        execution_provider=provider,
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _optional_sha256(path: Path | None) -> str | None:
    return None if path is None else file_sha256(path)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue  # run from a checkout, or onnxruntime-gpu in onnxruntime's place
    return found
