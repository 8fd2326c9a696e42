"""An entry point for the sandbox's child that takes the runner's request and does as `spec` says.

It makes each way for an attempt to end happen at will, in a real child process.
"""

import errno
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from worker.engine.errors import PassError
from worker.engine.requests import Operation, ReportProgress, UnpackLimits

ENTRY_POINT = "tests.worker.compressing:compress"


class Outcome(BaseModel):
    """An artifact and as much of a report as the runner reads."""

    artifact_name: str = "model.onnx"
    alternatives: list[str] = []
    report: dict[str, Any]


class Compress(Operation[Outcome]):
    """The runner's request; the spec says how to behave."""

    answer_type: ClassVar[type[BaseModel]] = Outcome

    operation: str
    model_path: Path
    calibration_path: Path | None = None
    calibration_transform: str | None = None
    evaluation_path: Path | None = None
    evaluation_transform: str | None = None
    spec: dict[str, Any]
    artifact_folder: Path
    workdir: Path
    cache_folder: Path | None = None
    default_execution_provider: str
    limits: UnpackLimits


def compress(request: Compress, report_progress: ReportProgress) -> Outcome:
    """Copy the model's first half, unless the spec says to fail."""
    behaviour = request.spec["behaviour"]
    report_progress("compressing", 0.25)
    (request.workdir / "stray").write_text("x")
    _end_early(behaviour, request.spec)
    if behaviour == "misname":
        return Outcome(artifact_name="../model.onnx", report={})
    if request.cache_folder is not None and behaviour == "remember":
        with (request.cache_folder / "seen").open("a") as seen:
            seen.write("x")
    if behaviour == "link":
        (request.artifact_folder / "model.onnx").symlink_to(Path(__file__))
        return Outcome(report=_report(request, 2, 1))
    content = request.model_path.read_bytes()
    half = content[: len(content) // 2]
    (request.artifact_folder / "model.onnx").write_bytes(half)
    outcome = Outcome(report=_report(request, len(content), len(half)))
    if behaviour == "search":
        (request.artifact_folder / "alternative_1").mkdir()
        (request.artifact_folder / "alternative_1" / "model.onnx").write_bytes(content[:7])
        outcome.alternatives = ["model.onnx"]
    return outcome


def _end_early(behaviour: str, spec: dict[str, Any]) -> None:
    """Take a while or end in another way than by an answer, where that is asked for."""
    if behaviour == "sleep":
        time.sleep(spec["seconds"])
    if behaviour == "refuse":
        raise PassError("no node can be quantized", code="nothing_to_compress")
    if behaviour == "fill the disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "abort":
        os.abort()


def _report(request: Compress, before: int, after: int) -> dict[str, Any]:
    inputs = (request.calibration_path, request.evaluation_path)
    return {
        "verdict": {"passed": True, "summary": "fine", "gates": [], "warnings": []},
        "before": {"size_bytes": before},
        "after": {"size_bytes": after},
        "fidelity": [
            {"sqnr_db": 30.0, "agreement": None, "data": "dataset"},
            {"sqnr_db": None, "agreement": None, "data": "dataset"},
        ],
        "accuracy": [],
        "latency": None,
        "peak_memory_bytes": 1,
        "spending": {"cpu_seconds": 0.5},
        "manifest": {"execution_provider": "cpu", "host": socket.gethostname()},
        "remembered": _remembered(request.cache_folder),
        "inputs": [path and path.read_text() for path in inputs],
    }


def _remembered(folder: Path | None) -> int:
    """Count the jobs that left a trace in the cache folder."""
    seen = folder and folder / "seen"
    return len(seen.read_text()) if seen and seen.exists() else 0
