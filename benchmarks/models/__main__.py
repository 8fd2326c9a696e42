"""Bring the benchmark's models and data into a folder.

    python -m benchmarks.models [FOLDER] [--training-python PYTHON]

Fetches about 170 MB of wheels once, builds two models from what they hold, and has the four small
models trained by an interpreter that has torch, scikit-learn and skl2onnx. Files that are there
already are kept.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.models import centerface, minilm
from benchmarks.models.fetching import FetchError, fetch
from benchmarks.models.sources import SOURCES
from benchmarks.tasks.catalogue import TASK_OF_MODEL

BUILDERS = (centerface, minilm)


def main() -> None:
    """Do what is still to do, and say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(".models"))
    parser.add_argument("--training-python", help="interpreter with torch, sklearn and skl2onnx")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for source in fetch(SOURCES, folder):
            sys.stdout.write(f"{source.file}: {source.requirement}, {source.licence}\n")
    except FetchError as error:
        sys.exit(str(error))
    for builder in BUILDERS:
        if not (folder / builder.TARGET).exists():
            builder.build(folder)
    if missing_models(folder) and arguments.training_python:
        command = [arguments.training_python, "-m", "benchmarks.models.training", str(folder)]
        subprocess.run(command, check=True)  # noqa: S603 - the user's own interpreter
    missing = missing_models(folder)
    if missing:
        sys.exit(f"{', '.join(missing)} are still to be trained: give --training-python")
    sys.stdout.write(f"{len(TASK_OF_MODEL)} models in {folder}\n")


def missing_models(folder: Path) -> list[str]:
    """Return the names of models that are not in the folder."""
    return [name for name in TASK_OF_MODEL if not (folder / f"{name}.onnx").exists()]


if __name__ == "__main__":
    main()
