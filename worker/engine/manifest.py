"""The manifest: what went in, what came out, and on which machine with which versions."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worker.engine.report import Manifest
from worker.engine.requests import CompressModel
from worker.engine.runtime import ExecutionProvider

PACKAGES = ("onnxpress", "onnx", "onnxruntime", "numpy")
COMPUTE_FLAGS = {
    "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx_vnni", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve",
}  # fmt: skip
"""The processor features that onnxruntime's kernels choose by."""


def make_manifest(
    request: CompressModel, model_sha256: str, artifact: Path, provider: ExecutionProvider
) -> Manifest:
    """Return what it takes to reproduce an artifact."""
    cpu, flags = _processor()
    return Manifest(
        model_sha256=model_sha256,
        artifact_sha256=file_sha256(artifact),
        spec_sha256=hashlib.sha256(request.spec.model_dump_json().encode()).hexdigest(),
        calibration_sha256=_optional_sha256(request.calibration_path),
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


def _processor() -> tuple[str, list[str]]:
    """Return the processor's name and its features that matter, as far as the system tells."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine(), []
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, sorted(flags & COMPUTE_FLAGS)
