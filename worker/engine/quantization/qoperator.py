"""Writes a placement as onnxruntime's QLinear operators, by onnxruntime's own quantizer."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode, add_infer_metadata
from onnxruntime.quantization.registry import QLinearOpsRegistry

from worker.engine.calibration.ranges import TensorRange
from worker.engine.quantization.graph_view import Declined, GraphView, attribute
from worker.engine.quantization.placement import Placement
from worker.engine.quantization.qdq import QdqOptions
from worker.engine.quantization.weighted_nodes import WEIGHTED_OP_TYPES

INTEGER_TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}


def unsupported(nodes: Sequence[onnx.NodeProto]) -> list[Declined]:
    """Return the nodes that have no QLinear operator, or none that gives the same answer."""
    declined = []
    for node in nodes:
        if node.op_type not in QLinearOpsRegistry and node.op_type in WEIGHTED_OP_TYPES:
            declined.append(Declined(node, f"{node.op_type} has no QLinear operator"))
        elif node.op_type == "Gemm" and attribute(node, "beta", 1.0) != 1.0:
            declined.append(Declined(node, "its beta is not 1, which QGemm does not have"))
    return declined


def tensors_of(placement: Placement, view: GraphView) -> list[str]:
    """Return the activations whose ranges onnxruntime's quantizer asks for."""
    nodes = [w.node for w in placement.weighted] + placement.joined + placement.absorbed
    names = [name for node in nodes for name in [*node.input, *node.output] if name]
    return [name for name in dict.fromkeys(names) if name not in view.initializers]


def write_qoperator(
    model: onnx.ModelProto,
    placement: Placement,
    ranges: Mapping[str, TensorRange],
    options: QdqOptions,
) -> None:
    """Rewrite the model's graph in place.

    The quantizer is given a copy with every type it needs, so that it infers none by way of files.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ranges
    )
    add_infer_metadata(copy)
    quantizer: Any = ONNXQuantizer(
        copy,
        options.per_channel,
        options.weights.reduce_range,
        QuantizationMode.QLinearOps,
        True,
        INTEGER_TYPES[options.weights.name],
        INTEGER_TYPES[options.activations.name],
        {name: _range_data(found) for name, found in ranges.items()},
        placement.changed_names,
        [],
        sorted({node.op_type for node in model.graph.node}),
        {
            "WeightSymmetric": options.weights.is_symmetric,
            "ActivationSymmetric": options.activations.is_symmetric,
        },
    )
    quantized: onnx.ModelProto = quantizer.quantize_model()
    del quantized.graph.value_info[:]
    model.graph.CopyFrom(quantized.graph)
    del model.opset_import[:]
    model.opset_import.extend(quantized.opset_import)


def _range_data(found: TensorRange) -> TensorData:
    return TensorData(
        lowest=np.array(found.lowest, np.float32), highest=np.array(found.highest, np.float32)
    )
