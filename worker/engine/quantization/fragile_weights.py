"""Finds the weights that 8 bits are too few for, though their nodes compute in float."""

import onnx
from onnx import helper, numpy_helper

from worker.engine.errors import CalibrationError, ResourceError
from worker.engine.half_precision import why_not_half
from worker.engine.quantization.answer_errors import AnswerErrors
from worker.engine.quantization.error_shares import error_shares
from worker.engine.runtime import open_session
from worker.engine.samples import Array
from worker.engine.weights.remaining import RemainingWeights

STORED_SHARE = 0.25
"""Share of the allowed error that storing weights may take; the rest is left for integers."""
MORE_BYTES = 0.06
"""What 16 bits may add to the bytes of all weights at 8 bits."""


def fragile_weights(
    model: onnx.ModelProto, remaining: RemainingWeights, errors: AnswerErrors, allowed: float
) -> set[str]:
    """Return the weights to store in 16 bits, for the answers to stay close for a few more bytes.

    Those come first that make most of the error for each value they hold.
    """
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    error = errors.of_model(remaining.round(rounded, ()))
    limit = allowed * STORED_SHARE
    if error <= limit:
        return set()
    floats, stored = _values(model, remaining), _values(rounded, remaining)
    names = [name for name, values in floats.items() if why_not_half(values) is None]
    shares = _shares(model, {name: (floats[name], stored[name]) for name in names}, errors, limit)
    # One by one they make more than all together where biases make up for them.
    scale = error / max(sum(shares.values()), error)
    room = MORE_BYTES * sum(values.size for values in floats.values())
    halves: set[str] = set()
    for name in sorted(shares, key=lambda name: shares[name] / floats[name].size, reverse=True):
        if error > limit and shares[name] > 0 and floats[name].size <= room:
            halves.add(name)
            room -= floats[name].size
            error -= shares[name] * scale
    return halves


def _values(model: onnx.ModelProto, remaining: RemainingWeights) -> dict[str, Array]:
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in remaining.names
    }


def _shares(
    model: onnx.ModelProto,
    values: dict[str, tuple[Array, Array]],
    errors: AnswerErrors,
    limit: float,
) -> dict[str, float]:
    """Return the share of the error of each weight, which has its float and its stored values.

    All weights become graph inputs, so that one session takes them in either form.
    """
    if not values:
        return {}
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    kept = [tensor for tensor in open_model.graph.initializer if tensor.name not in values]
    del open_model.graph.initializer[:]
    open_model.graph.initializer.extend(kept)
    open_model.graph.input.extend(
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(in_float.dtype), in_float.shape
        )
        for name, (in_float, _) in values.items()
    )
    few = errors.first(1)
    try:
        session = open_session(open_model, failure=CalibrationError)
        return error_shares(
            list(values),
            lambda names: few.of_session(session, {n: values[n][n in names] for n in values}),
            limit,
        )
    except ResourceError:
        raise
    except CalibrationError:
        return {}  # an operator wants a constant
