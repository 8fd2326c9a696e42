"""The original as its own candidate: what a job returns where compression does not pay."""

import shutil
from pathlib import Path
from zipfile import is_zipfile

from worker.engine.candidate import Candidate, Folders, Making, Written
from worker.engine.evaluation import compare
from worker.engine.model_io import save
from worker.engine.original import Original
from worker.engine.preparation.prepare import Prepared
from worker.engine.timing import LoadedPair

NAME = "the original"


def write_original(original: Original, folders: Folders) -> Written:
    """Put the model where artifacts go: the very bytes of the upload, but for a tar archive."""
    folders.artifact.mkdir(parents=True, exist_ok=True)
    upload = original.request.model_path
    if original.loaded.path == upload:
        artifact = Path(shutil.copyfile(upload, folders.artifact / "model.onnx"))
    elif is_zipfile(upload):
        artifact = Path(shutil.copyfile(upload, folders.artifact / "model.zip"))
    else:
        artifact = save(original.loaded.model, folders.artifact)
    return open_original_artifact(original, artifact)


def open_original_artifact(original: Original, artifact: Path) -> Written:
    """Return the original as a candidate whose session is the original's own."""
    seconds = original.load_seconds
    pair = LoadedPair(original.session, original.session, seconds, seconds)
    return Written(Making(()), artifact, original.loaded, pair, Prepared(original.loaded.model))


def compare_original(original: Original, written: Written) -> Candidate:
    """Return the original beside itself; its answers then wait for every candidate."""
    session, samples = original.session, original.samples.evaluation
    comparison = compare(session, session, samples, original.scoring, lambda _: None)
    return Candidate(written, comparison, comparison.warnings)
