"""The biases that weight quantization corrects: which, by what, and whether it pays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import onnx

from worker.engine.datasets.splitting import at_most, first, hold_out
from worker.engine.passes.base import PassContext, PassResult
from worker.engine.passes.weight_tasks import Task
from worker.engine.quantization.bias_correction import correctable
from worker.engine.quantization.graph_view import GraphView
from worker.engine.weights.biases import give_own_biases
from worker.engine.weights.finding import find_weights
from worker.engine.weights.held_back import HeldBackAnswers
from worker.engine.weights.known_grids import KnownGrids
from worker.engine.weights.moments import MeanLayer, collect, mean_layers
from worker.engine.weights.storage import MINIMUM_OPSETS

MEAN_SAMPLES = 16
COMPARED_SAMPLES = 4


@dataclass(frozen=True)
class OwnBiases:
    """A model whose nodes have biases of their own, and the means of these nodes' inputs."""

    model: onnx.ModelProto
    means: Mapping[str, MeanLayer]
    """By the weight that they are multiplied with."""


def own_biases(
    model: onnx.ModelProto, tasks: Sequence[Task], context: PassContext
) -> OwnBiases | None:
    """Return what correcting biases takes, None where no node or no real sample allows it.

    Raises:
        CalibrationError: a sample cannot be run.
    """
    if context.samples.origin == "synthetic" or not len(context.samples):
        return None
    stored = [task.weight for task in tasks if task.bits in MINIMUM_OPSETS]
    names = {weight.name for weight in stored if not weight.is_half}
    if not correctable(GraphView(model.graph), names):
        return None
    owning = onnx.ModelProto()
    owning.CopyFrom(model)
    corrected = give_own_biases(owning, names)
    weights = [weight for weight in find_weights(owning) if weight.name in corrected]
    means = mean_layers(weights, owning)
    if not means:
        return None
    known = KnownGrids(context.cache, owning, context.samples, "means")
    if not known.find_means(means):
        samples = at_most(hold_out(context.samples)[0], MEAN_SAMPLES)
        collect(owning, weights, means, samples, partial(context.report_progress, "calibrating"))
        known.keep_means(means)
    return OwnBiases(owning, means)


def closest(
    original: onnx.ModelProto, results: Sequence[PassResult], context: PassContext
) -> PassResult:
    """Return the result with the best answers on held back samples, the first of the equal."""
    held_back = first(hold_out(context.samples)[1], COMPARED_SAMPLES)
    answers = HeldBackAnswers(original, [sample.feeds for sample in held_back])
    return max(results, key=lambda result: answers.worst_db(result.model))
