"""Whether a result's answers still have to do with the original's, output by output."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import onnx

from worker.engine.decibels import EQUAL_DB
from worker.engine.errors import VerificationError
from worker.engine.report.quality import OutputFidelity

NEGLIGIBLE_ERROR = 1e-6
"""Of an output that the original leaves at zero, where no error is small against the signal."""
SIGMOIDS = {"Sigmoid", "HardSigmoid"}
LOWEST_YES = 0.5
"""A sigmoid that stays below this on every sample has found nothing of what it looks for ..."""
FAINT_ERROR = 0.01
"""... and neither has the compressed one where its error is this small a share of its range."""


@dataclass(frozen=True)
class Ruin:
    """An output that is ruined, the sample that shows it best, and why in words."""

    output: str
    sample: int
    reason: str


def sigmoid_outputs(model: onnx.ModelProto) -> set[str]:
    """Return the graph outputs that a sigmoid computes: each value is a chance by itself."""
    outputs = {value.name for value in model.graph.output}
    return {
        name
        for node in model.graph.node
        if node.op_type in SIGMOIDS
        for name in node.output
        if name in outputs
    }


def find_ruin(
    fidelity: Sequence[OutputFidelity], limit_db: float, sigmoids: Collection[str]
) -> list[Ruin]:
    """Return the outputs below the limit, as a whole or in a channel group, or newly not finite."""
    ruins = []
    for output in fidelity:
        reason = _reason(output, limit_db)
        if reason and not (output.output in sigmoids and is_faint(output)):
            ruins.append(Ruin(output.output, output.worst_sample, reason))
    return ruins


def is_faint(output: OutputFidelity) -> bool:
    """Return whether a sigmoid's samples show neither model anything to find."""
    return (
        not output.non_finite
        and (output.peak or 0) < LOWEST_YES
        and (output.rms_error or 0) < FAINT_ERROR
    )


def unjudged_warnings(
    fidelity: Sequence[OutputFidelity], limit_db: float, sigmoids: Collection[str]
) -> list[str]:
    """Return a warning for each output that these samples, or an SQNR, cannot judge."""
    faint = [
        f'"{output.output}" stays below {LOWEST_YES:g} on every sample, so that its SQNR says'
        " little: provide an evaluation dataset that holds what the model looks for"
        for output in fidelity
        if output.output in sigmoids and is_faint(output) and _reason(output, limit_db)
    ]
    silent = [
        f'"{output.output}" is zero on every sample, which says nothing of the compressed model:'
        " provide an evaluation dataset that the model has answers to"
        for output in fidelity
        if output.agreement is None and output.peak == 0
    ]
    reshaped = [
        f'"{output.output}" has another shape than the original\'s on {output.shape_mismatches} of'
        f" {output.samples} samples; values that do not belong together have no meaningful SQNR, so"
        " judge it by a score of your task (evaluation.metrics)"
        for output in fidelity
        if output.shape_mismatches
    ]
    return faint + silent + reshaped


def ruin_error(
    ruins: Sequence[Ruin], fidelity: Sequence[OutputFidelity], limit_db: float, blame: str
) -> VerificationError:
    """Return the error of a ruined result; `blame` names the nodes that lost the answers."""
    is_synthetic = fidelity[0].data == "synthetic"
    data = "synthetic samples" if is_synthetic else "held-out samples"
    advice = "Try"
    if is_synthetic:
        advice = "Give real samples, as made-up ones may mean nothing to this model; else try"
    reasons = "; ".join(ruin.reason for ruin in ruins)
    return VerificationError(
        f"the compressed model's answers are ruined on {fidelity[0].samples} {data}: {reasons}"
        f" (limit {limit_db:g} dB). {blame}{advice} weight_quantization with more bits, a lower"
        " sparsity where weights are pruned, more real samples where ranges are calibrated, or"
        " nodes_to_exclude; evaluation.ruin_below_sqnr_db: null returns it all the same",
        code="ruined_result",
    )


def _reason(output: OutputFidelity, limit_db: float) -> str:
    """Return why an output is ruined, empty where it is not."""
    if output.non_finite:
        return f'"{output.output}" has {output.non_finite} NaN or infinite values'
    if output.agreement is not None or output.shape_mismatches:
        return ""  # values that do not belong together have no meaningful figures
    if (output.max_abs_error or 0) <= NEGLIGIBLE_ERROR:
        return ""
    parts = [("", output.sqnr_db)]
    parts += [(f" channels {group.channels}", group.sqnr_db) for group in output.groups]
    where, worst = min(parts, key=lambda part: EQUAL_DB if part[1] is None else part[1])
    if worst is None or worst >= limit_db:
        return ""
    return f'"{output.output}"{where} keeps {worst:.1f} dB SQNR'
