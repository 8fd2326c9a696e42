"""What static quantization adjusts in the float model, for integers to lose less of it."""

from collections.abc import Callable, Collection, Mapping

import onnx

from worker.engine.calibration.channels import MapChannels, RowChannels
from worker.engine.calibration.collector import collect
from worker.engine.passes.base import PassContext
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.bias_correction import BiasCorrections, correctable
from worker.engine.quantization.equalization import equalize, regions
from worker.engine.quantization.graph_view import GraphView
from worker.engine.quantization.smoothing import smooth, smoothable
from worker.engine.quantization.static_writer import StaticWriter
from worker.engine.weights.remaining import RemainingWeights

CLOSER = 0.5
"""Share of the answers' error that evener channels may leave.

Less of a gain with all nodes in integers did not last where some of them stay in float."""

Channels = Mapping[str, MapChannels]


def smoothed(writer: StaticWriter, context: PassContext) -> StaticWriter:
    """Return a writer of the model with smoother activations, where that keeps more of them."""
    readers = smoothable(writer.placement, writer.view)
    if not readers:
        return writer
    ranges = collect(writer.model, readers, context, RowChannels)
    smooth(writer.model, readers, ranges, writer.options.weights.levels - 1)
    return StaticWriter(writer.model, writer.chosen, writer.options)


def equalized(
    writer: StaticWriter,
    nodes: Collection[str],
    channels: Channels,
    *,
    is_tried: bool,
    error: Callable[[StaticWriter], float],
) -> StaticWriter:
    """Return a writer of the model with evener channels, or the same where none are uneven.

    Args:
        writer: of the model, calibrated.
        nodes: those to compute in integers.
        channels: of their inputs.
        is_tried: whether to keep evener channels only where they bring the answers closer.
        error: of the answers with the nodes in integers.
    """
    found = regions(writer.view) if nodes else []
    if not found:
        return writer
    model = onnx.ModelProto()
    model.CopyFrom(writer.model)
    if not equalize(model, found, channels, writer.options.weights.levels - 1):
        return writer
    candidate = StaticWriter(model, writer.chosen, writer.options)
    if not is_tried:
        return candidate
    return candidate if error(candidate) < CLOSER * error(writer) else writer


def remaining_weights(
    writer: StaticWriter,
    channels: Channels,
    errors: AnswerErrors | None,
    *,
    is_corrected: bool | None,
) -> RemainingWeights:
    """Return the weights to store, and let the writer correct biases where they do.

    None corrects biases where the answers come closer by it once all weights are stored, which
    rounds those of nodes in integers much as these do.
    """
    model, plain = writer.model, RemainingWeights(writer.model)
    weights = plain.names | {each.weight for each in writer.placement.weighted}
    nodes = correctable(GraphView(model.graph), weights)
    seen = {each.node.name: channels.get(each.activation) for each in nodes}
    means = {name: each.means for name, each in seen.items() if each is not None}
    if is_corrected is False or not means or (is_corrected is None and errors is None):
        return plain
    corrections = BiasCorrections(means)
    corrected = RemainingWeights(model, corrections)
    if not is_corrected and errors is not None:
        before, after = (errors.of_model(_stored(model, each)) for each in (plain, corrected))
        if after >= before:
            return plain
    writer.corrections = corrections
    return corrected


def _stored(model: onnx.ModelProto, weights: RemainingWeights) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return weights.round(copy, ())
