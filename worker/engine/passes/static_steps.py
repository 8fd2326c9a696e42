"""The first and the last steps of static quantization, which a job and a preflight share."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx

from worker.engine.passes.base import SkippedNode
from worker.engine.passes.node_selection import NodeSelectingPass, select_nodes, skipped_nodes
from worker.engine.quantization.choosing import Choice
from worker.engine.quantization.graph_view import Declined
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.product_bias import join_biases
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.qoperator import unsupported
from worker.engine.quantization.static_writer import QuantFormat, StaticWriter
from worker.engine.quantization.working_copy import refuse_unchanged, working_copy
from worker.engine.weights.remaining import RemainingWeights


@dataclass(frozen=True)
class Finished:
    """The written model, the nodes that changed, of them those only stored, and the others."""

    model: onnx.ModelProto
    changed: list[str]
    stored: list[str]
    skipped: list[SkippedNode]


@dataclass(frozen=True)
class StaticStart:
    """A model ready to be written, the Add nodes joined with products, and the nodes left out."""

    writer: StaticWriter
    quant_format: QuantFormat
    joined: list[str]
    skipped: list[SkippedNode]

    def written(self, remaining: RemainingWeights, choice: Choice) -> Finished:
        """Return the result with the chosen nodes in integers and the other weights stored.

        Raises:
            PassError: nothing changed.
        """
        model, placement, *_ = self.writer.write(choice.chosen, self.quant_format)
        stored = remaining.store(model, choice.halves)
        skipped = [*self.skipped, *skipped_nodes(self._left_float(placement, choice))]
        refuse_unchanged(self.writer.model, [*placement.weighted, *stored], skipped)
        changed = [*placement.changed_names, *self.joined, *stored]
        return Finished(model, changed, stored, skipped)

    def _left_float(self, placement: Placement, choice: Choice) -> list[Declined]:
        """Return the chosen nodes that stay in float, and why."""
        writer, changed = self.writer, set(placement.changed_names)
        reasons = {each.node.name: each.reason for each in writer.placement.declined}
        reasons |= choice.reasons
        return [
            Declined(node, reasons.get(node.name, "no node beside it computes in integers"))
            for node in writer.model.graph.node
            if node.name in writer.chosen - changed
        ]


def start(
    model: onnx.ModelProto,
    step: NodeSelectingPass,
    op_types: Collection[str],
    types: QdqOptions,
    quant_format: QuantFormat,
) -> StaticStart:
    """Return a copy of the model with its nodes chosen and their biases joined.

    Raises:
        PassError: the model is quantized already, or a name matches no node.
    """
    original = working_copy(model)
    selection = select_nodes(original, step, op_types)
    joined = join_biases(original, selection.chosen)
    declined: list[Declined] = []
    if quant_format == "qoperator":
        declined = unsupported([n for n in original.graph.node if n.name in selection.chosen])
    chosen = selection.chosen - {node.name for node, _ in declined}
    skipped = [skip for skip in selection.skipped if skip.node not in joined]
    return StaticStart(
        StaticWriter(original, chosen, types),
        quant_format,
        joined,
        [*skipped, *skipped_nodes(declined)],
    )
