"""Biases that make up for the mean error of rounded weights.

As `quantization.bias_correction` does, but with the mean of each input that a weight is multiplied
with, so that the zeros a Conv pads with count as well.
"""

from collections.abc import Container, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from worker.engine.names import NameGiver, taken_names
from worker.engine.quantization.bias_correction import correctable
from worker.engine.quantization.graph_view import GraphView, flat_bias
from worker.engine.quantization.weighted_nodes import output_channels
from worker.engine.weights.moments import MeanLayer
from worker.engine.weights.scales import FloatArray


def give_own_biases(model: onnx.ModelProto, names: Container[str]) -> dict[str, list[str]]:
    """Give each node that can be corrected a bias that no other reads, one value a channel.

    Zeros where it has none. Rewrites the model in place, and changes no answer. Returns the names
    of the biases by those of the weights, of which only those of `names` are looked at.
    """
    view = GraphView(model.graph)
    giver = NameGiver(taken_names(model))
    biases: dict[str, list[str]] = {}
    for weighted in correctable(view, names):
        channels = output_channels(weighted, view)
        own = weighted.bias or ""
        bias = view.constant(own)
        if bias is None or bias.size != channels or view.only_reader(own) is None:
            flat = np.zeros(channels, np.float32) if bias is None else flat_bias(bias, channels)
            own = giver.name(f"{own or weighted.node.name}/own")
            view.graph.initializer.append(numpy_helper.from_array(np.asarray(flat), own))
            weighted.node.input[:] = [*weighted.node.input[:2], own]
        biases.setdefault(weighted.weight, []).append(own)
    return biases


def corrected_biases(
    model: onnx.ModelProto, stored: Mapping[str, FloatArray], layers: Mapping[str, MeanLayer]
) -> dict[str, FloatArray]:
    """Return by name the biases that nodes need, each its own, with weights of these values.

    `layers` tell the mean inputs, by the weight; those that no sample reached stay out.
    """
    view = GraphView(model.graph)
    corrected = {}
    for weighted in correctable(view, stored.keys() & layers.keys()):
        layer = layers[weighted.weight]
        weight = view.constant(weighted.weight)
        bias = None if weighted.bias is None else view.constant(weighted.bias)
        if weight is not None and bias is not None and layer.rows:
            error = layer.as_matrices(weight.astype(np.float64) - stored[weighted.weight])
            addition = np.einsum("gci,gi->gc", error, layer.sums / layer.rows)
            total = bias.astype(np.float64) + addition.reshape(bias.shape)
            corrected[str(weighted.bias)] = total.astype(np.float32)
    return corrected
