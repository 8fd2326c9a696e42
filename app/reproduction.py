"""`onnxpress reproduce`: an artifact made again from its report and the files that went in."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from app.settings import Settings
from worker.sandbox.process import Limits, Sandbox

JsonObject = dict[str, Any]
NO_MEASUREMENT = {"metrics": None, "output": None, "max_samples": 1, "latency": None}
"""The artifact does not depend on what is measured of it."""


class ReproductionError(Exception):
    """The artifact cannot be made again; the message says what is missing."""


class Recipe(BaseModel):
    """What a report's manifest says that its artifact came of."""

    model_sha256: str
    artifact_sha256: str
    resolved_spec: JsonObject | None
    calibration_sha256: str | None
    calibration_transform: str | None = None
    evaluation_sha256: str | None
    evaluation_transform: str | None = None
    versions: dict[str, str]
    cpu: str
    execution_provider: Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Ingredients:
    """The files that went in."""

    model: Path
    calibration: Path | None = None
    evaluation: Path | None = None


@dataclass(frozen=True)
class Reproduction:
    """What came out, and what is different here from where the report was made."""

    sha256: str
    is_equal: bool
    differences: list[str]


def read_recipe(report: Path) -> Recipe:
    """Return what a report in JSON says of its making.

    Raises:
        ReproductionError: it is no report.
    """
    try:
        return _ReportFile.model_validate_json(report.read_bytes()).manifest
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ReproductionError(
            f"{report} is no report in JSON as /v1/jobs/ID/report gives it:"
            f" {where or 'the file'}: {error.errors()[0]['msg'].lower()}"
        ) from error


def reproduce(recipe: Recipe, files: Ingredients, target: Path, settings: Settings) -> Reproduction:
    """Make a report's artifact again in the sandbox and write it to `target`.

    Raises:
        ReproductionError: a file is missing, or not the one that went in.
        EngineError: the compression fails here.
        ChildFailedError: it takes more memory or time than the settings allow.
    """
    _check(recipe, files)
    if recipe.resolved_spec is None:  # the job returned the model as it was
        shutil.copyfile(files.model, target)
        sha256 = _sha256(target)
        return Reproduction(sha256, sha256 == recipe.artifact_sha256, list(_differences(recipe)))
    with (
        tempfile.TemporaryDirectory(prefix="onnxpress-reproduce-") as name,
        Sandbox(spares=0) as sandbox,
    ):
        folder = Path(name)
        for kind in ("work", "artifact"):
            (folder / kind).mkdir()
        answer = sandbox.run_json(
            _request(recipe, files, folder, settings), _limits(recipe, files, settings)
        )
        artifact = folder / "artifact" / answer["artifact_name"]
        sha256 = _sha256(artifact)
        shutil.copyfile(artifact, target)
    return Reproduction(sha256, sha256 == recipe.artifact_sha256, list(_differences(recipe)))


def _check(recipe: Recipe, files: Ingredients) -> None:
    """Make sure that the files are those of the manifest."""
    for name, path, sha256 in (
        ("model", files.model, recipe.model_sha256),
        ("calibration", files.calibration, recipe.calibration_sha256),
        ("evaluation", files.evaluation, recipe.evaluation_sha256),
    ):
        if path is None and sha256 is not None:
            raise ReproductionError(
                f"the job used {name} data: give it by --{name} (SHA-256 {sha256})"
            )
        if path is not None and sha256 is None:
            raise ReproductionError(f"the job used no {name} data: leave --{name} out")
        if path is not None and _sha256(path) != sha256:
            raise ReproductionError(
                f"{path} is not the {name} file of the job, whose SHA-256 is {sha256}"
            )


def _request(recipe: Recipe, files: Ingredients, folder: Path, settings: Settings) -> JsonObject:
    spec = recipe.resolved_spec or {}
    evaluation = spec.get("evaluation", {}) | NO_MEASUREMENT
    request: JsonObject = {
        "operation": "compress_model",
        "model_path": str(files.model.resolve()),
        "spec": spec | {"evaluation": evaluation, "gates": {}},
        "artifact_folder": str(folder / "artifact"),
        "workdir": str(folder / "work"),
        "default_execution_provider": recipe.execution_provider,
        "limits": {
            "max_unpacked_bytes": settings.max_unpacked_bytes,
            "max_unpacked_ratio": settings.max_unpacked_ratio,
        },
    }
    if files.calibration is not None:
        request["calibration_path"] = str(files.calibration.resolve())
        request["calibration_transform"] = recipe.calibration_transform
    if files.evaluation is not None:
        request["evaluation_path"] = str(files.evaluation.resolve())
        request["evaluation_transform"] = recipe.evaluation_transform
    return request


def _limits(recipe: Recipe, files: Ingredients, settings: Settings) -> Limits:
    return Limits(
        wall_seconds=settings.job_time_limit_seconds,
        operation_seconds=settings.operation_time_limit_seconds,
        memory_bytes=settings.memory_limit_bytes(files.model.stat().st_size),
        file_bytes=settings.max_unpacked_bytes,
        uses_cuda=recipe.execution_provider == "cuda",
    )


def _differences(recipe: Recipe) -> Iterator[str]:
    """Yield the packages whose versions differ here."""
    for package, theirs in recipe.versions.items():
        if package == "python":
            continue
        try:
            ours = version(package)
        except PackageNotFoundError:
            ours = "not installed"
        if ours != theirs:
            yield f"{package} is {ours} here and was {theirs}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _ReportFile(BaseModel):
    manifest: Recipe
