"""Applying passes in order, each in a private folder, and turning their surprises into errors."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from worker.engine.errors import EngineError, PassError, ResourceError
from worker.engine.passes.base import Pass, PassContext, PassResult, SkippedNode
from worker.engine.progress import Progress
from worker.engine.report.contents import PassReport
from worker.engine.runtime import is_out_of_memory, readable


@dataclass
class PassesOutcome:
    """The model after all passes, and what they said."""

    model: onnx.ModelProto
    reports: list[PassReport] = field(default_factory=list)
    skipped: list[SkippedNode] = field(default_factory=list)
    resolved: list[Pass] = field(default_factory=list)
    """The passes with their measured choices written out."""


def apply_passes(
    model: onnx.ModelProto, passes: Sequence[Pass], context: PassContext, progress: Progress
) -> PassesOutcome:
    """Apply passes in order; `context.workdir` is where each gets its own folder.

    Raises:
        EngineError: a pass cannot do what was asked, or failed in a way nobody foresaw.
    """
    outcome = PassesOutcome(model)
    for index, step in enumerate(passes):
        started = time.perf_counter()
        with private_folder(context.workdir / f"pass_{index}") as folder:
            report_progress = progress.of_pass(index, len(passes))
            own = replace(context, workdir=folder, report_progress=report_progress)
            result = _apply(step, outcome.model, own)
            report_progress("compressing", 1.0)
        outcome.model = result.model
        outcome.skipped += result.skipped
        outcome.resolved.append(result.resolved or step)
        outcome.reports.append(
            PassReport(
                method=step.method,
                options=step.model_dump(mode="json", exclude={"method"}),
                duration_seconds=time.perf_counter() - started,
                changed_nodes=result.changed_nodes,
                notes=result.notes,
            )
        )
    return outcome


@contextmanager
def private_folder(folder: Path) -> Iterator[Path]:
    """Make a folder, have temporary files put there, and remove it with all that is in it.

    onnxruntime's quantizers leave files in the temporary folder and beside their input.
    """
    folder.mkdir(parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _apply(step: Pass, model: onnx.ModelProto, context: PassContext) -> PassResult:
    try:
        return step.apply(model, context)
    except EngineError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            message = f"{step.method} needs more memory than this job may use"
            raise ResourceError(message, code="out_of_memory") from error
        raise PassError(
            f"{step.method} failed on this model: {type(error).__name__}: {readable(error)};"
            " leave the node it names out by nodes_to_exclude, or try another method, such as"
            " weight_quantization"
        ) from error
