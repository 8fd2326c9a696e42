"""What an attempt made: the files that become its job's artifacts."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from app.tables import ALTERNATIVES, ArtifactKind, JsonObject

ARTIFACT_NAMES = {"model.onnx", "model.zip"}


@dataclass(frozen=True)
class Product:
    """A file to publish, and the name it is downloaded under."""

    kind: ArtifactKind
    path: Path
    file_name: str


def find_products(answer: JsonObject, folder: Path, model_name: str) -> Iterator[Product]:
    """Yield the model, the report (written now) and the alternatives of an engine's answer.

    Raises:
        ValueError: something else than a file of the child's own lies there; it is not trusted.
    """
    stem = PurePath(model_name).stem or "model"
    model = _own_file(folder / "artifact", answer["artifact_name"])
    yield Product("model", model, f"{stem}-compressed{model.suffix}")
    report = folder / "report.json"
    report.write_text(json.dumps(answer["report"], indent=2))
    yield Product("report", report, f"{stem}-report.json")
    for kind, name in zip(ALTERNATIVES, answer["alternatives"], strict=False):
        path = _own_file(folder / "artifact" / kind, name)
        yield Product(kind, path, f"{stem}-{kind.replace('_', '-')}{path.suffix}")


def _own_file(folder: Path, name: str) -> Path:
    """Return a file's path, which no link may lead out of the folder."""
    path = folder / name
    if name not in ARTIFACT_NAMES:
        raise ValueError(f"the engine named its artifact {name!r}")
    if folder.is_symlink() or not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError(f"{name} of the engine is no file of its own")
    return path
