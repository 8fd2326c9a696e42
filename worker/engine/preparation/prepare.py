"""Preparing a model for the passes, with the same answers before and after."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx
import onnx_ir as ir

from worker.engine.errors import PassError, UnsupportedModelError
from worker.engine.graphs import default_opset, expanded_node_count, walk_graphs
from worker.engine.preparation.activations import join_hard_sigmoids
from worker.engine.preparation.affine import fold_affine
from worker.engine.preparation.answers import Answers, AnyAnswers
from worker.engine.preparation.constants import walk
from worker.engine.preparation.duplicates import merge_duplicates
from worker.engine.preparation.folding import fold_constants
from worker.engine.preparation.loop_constants import take_out_loop_constants
from worker.engine.preparation.lstm_loops import join_lstm_loops
from worker.engine.preparation.opsets import (
    canonical_domain,
    merged_opset_imports,
    raise_opset,
)
from worker.engine.preparation.records import mend_output_shapes, strip_records
from worker.engine.preparation.scalings import join_scalings
from worker.engine.preparation.structure import (
    inline_functions,
    lift_constants,
    remove_identities,
    remove_unused,
    unlist_initializers,
)
from worker.engine.runtime import bounded
from worker.engine.samples import Feeds

MAX_INLINED_NODES = 50_000

logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)


class Rewrite(NamedTuple):
    """A rewrite: changes a model in place and returns how many things it changed."""

    what: str
    apply: Callable[[ir.Model], int]


INLINING = Rewrite("functions inlined", inline_functions)
REWRITES = [
    Rewrite("initializers no longer listed as graph inputs", unlist_initializers),
    Rewrite("Constant nodes made initializers", lift_constants),
    Rewrite("Identity and inactive Dropout nodes removed", remove_identities),
    Rewrite("constants taken out of the state of Loops", take_out_loop_constants),
    Rewrite("nodes that only rearrange constants computed", fold_constants),
    Rewrite("Loops over the steps of an LSTM joined", join_lstm_loops),
    Rewrite("steps of HardSigmoid and HardSwish joined", join_hard_sigmoids),
    Rewrite("BatchNormalization, Mul and Add nodes folded into weights", fold_affine),
    Rewrite("scalings between convolutions joined", join_scalings),
    Rewrite("duplicate initializers merged", merge_duplicates),
    Rewrite("unused nodes and initializers removed", remove_unused),
]


@dataclass(frozen=True)
class Prepared:
    """The prepared model and, in words, what was done to it."""

    model: onnx.ModelProto
    notes: list[str] = field(default_factory=list)


def prepare(
    model: onnx.ModelProto,
    minimum_opset: int = 0,
    feeds: Feeds | None = None,
    *,
    is_checked: bool = True,
) -> Prepared:
    """Return a valid model in a form where every pass finds its weights.

    With feeds, one run's inputs, the answers before and after are compared, and a rewrite that
    changes them is left out, with a note. Without, the result must only load; with
    `is_checked` false not even that, for those who want to know the sizes of things.

    Raises:
        UnsupportedModelError: the model cannot be raised to the opset that a method needs.
    """
    answers = Answers(model, feeds) if is_checked else AnyAnswers()
    notes = _first_notes(model)
    if model.functions and expanded_node_count(model) <= MAX_INLINED_NODES:
        inlined = _rewrite(model, [INLINING], answers)
        model, notes = inlined.model, [*notes, *inlined.notes]
    raised = raise_opset(model, minimum_opset)
    if raised is not model:
        notes.append(f"opset raised from {default_opset(model)} to {minimum_opset}")
    if any(graph.sparse_initializer for graph in walk_graphs(raised)):
        result = Prepared(raised, ["sparse initializers: no rewrite was tried"])
    else:
        result = _rewrite(raised, REWRITES, answers)
    is_unchecked = result.model is raised and raised is not model
    if is_unchecked and not answers.are_kept_by(raised):
        raise UnsupportedModelError(
            f"raising the model from opset {default_opset(model)} to {minimum_opset}, which this "
            "method needs, would change its answers; export it again at that opset"
        )
    return Prepared(result.model, [*notes, *result.notes])


def _first_notes(model: onnx.ModelProto) -> list[str]:
    excess = len(model.opset_import) - len(merged_opset_imports(model))
    return [f"duplicate opset imports merged: {excess}"] if excess else []


def _rewrite(model: onnx.ModelProto, rewrites: list[Rewrite], answers: Answers) -> Prepared:
    """Apply the rewrites together or, where that fails or changes the answers, one by one."""
    try:
        with bounded("preparing the model", PassError):
            candidate = _rewritten(model, rewrites, answers)
        if answers.are_kept_by(candidate.model):
            return candidate
        reason = "it would change the answers"
    except PassError as error:
        reason = str(error)
    if len(rewrites) == 1:
        return Prepared(model, [f"{rewrites[0].what}: left out, because {reason}"])
    notes: list[str] = []
    for rewrite in rewrites:
        step = _rewrite(model, [rewrite], answers)
        model, notes = step.model, [*notes, *step.notes]
    return Prepared(model, notes)


def _rewritten(model: onnx.ModelProto, rewrites: list[Rewrite], answers: Answers) -> Prepared:
    """Apply all the rewrites to a copy."""
    graph = ir.from_proto(model)
    graph.opset_imports.clear()
    graph.opset_imports.update(merged_opset_imports(model))
    for node in walk(graph):
        node.domain = canonical_domain(node.domain)
    counts = [(rewrite.what, rewrite.apply(graph)) for rewrite in rewrites]
    notes = [f"{what}: {count}" for what, count in counts if count]
    result = ir.to_proto(graph)
    strip_records(result)
    mended = mend_output_shapes(result, answers.outputs or [])
    if mended:
        notes.append(f"declared shapes that a run contradicts freed: {', '.join(mended)}")
    return Prepared(result, notes)
